"""The methods that train, at equal steps: `python -m benchmarks.trained_methods [--tier cpu|full]`.

Every row of the table has had the same number of optimizer steps on the same 2,000 texts in all:
three epochs of adaptation and three of recovery, or six that do both at once. Drop of the accuracy
on the 5,000 test texts, with its interval paired by text; rates and options are the validation
split's choice. The claims to check: rankdyna and lpaf are ahead of fwsvd with fine-tuning, and the
more so the less is kept; the best of ours is within 1 point of dense at 0.1 and 2 at 0.05.

CPU-hours, on one thread: cpu (keep 0.3 and 0.1; one seed) 1.6; full (six budgets, three seeds)
15.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import SEEDS, Dense
from benchmarks.sentiment_methods import REFIT, shown

EPOCHS = 3
"""Of adaptation, and of recovery."""
TRAINING = {"batch_size": 16, "learning_rate": 1e-4}
PLAIN = {"type": "plain", "epochs": EPOCHS, **TRAINING}
DISTILL = {"type": "distill", "epochs": EPOCHS, **TRAINING}
STATISTICS = {"calibration": {"rows": 2000}}


def rankdyna(**training: Any) -> dict[str, Any]:
    """Both halves of the steps in one training."""
    training = {"epochs": 2 * EPOCHS, **TRAINING, **training}
    return {
        "method": {"type": "rankdyna", "training": training},
        "allocation": {"type": "uniform"},
    }


def lpaf(
    weights: str = "counts", finetune: dict[str, Any] | None = None, **pruning: Any
) -> dict[str, Any]:
    pruning = {"epochs": EPOCHS, **TRAINING, **pruning}
    mixed = {"type": "mixed_rank", "epochs": EPOCHS, **TRAINING, **(finetune or {})}
    return {
        "method": {"type": "lpaf", "weights": weights, "pruning": pruning},
        "allocation": {"type": "uniform"},
        "finetune": mixed,
        **(STATISTICS if weights == "fisher" else {}),
    }


METHODS: dict[str, dict[str, Any]] = {
    "fwsvd + fine-tuning": {
        "method": {"type": "fwsvd"},
        "allocation": {"type": "uniform"},
        "finetune": PLAIN,
        **STATISTICS,
    },
    "tfwsvd + fine-tuning": {
        "method": {"type": "tfwsvd"},
        "allocation": {"type": "uniform"},
        "finetune": PLAIN,
        **STATISTICS,
    },
    "kfac + spectrum + distillation": {
        "method": {"type": "kfac"},
        "allocation": {"type": "spectrum"},
        "finetune": DISTILL,
        **STATISTICS,
    },
    "kfac + spectrum + refit + distillation": {
        "method": {"type": "kfac"},
        "allocation": {"type": "spectrum"},
        "refit": REFIT,
        "finetune": DISTILL,
        **STATISTICS,
    },
    "rankdyna": rankdyna(),
    "lpaf": lpaf(),
    "lpaf, by movement": lpaf(scores="movement"),
    "lpaf, by magnitude": lpaf(scores="magnitude"),
}


@dataclass(frozen=True)
class Tier:
    keeps: tuple[float, ...]
    seeds: tuple[int, ...]


TIERS = {
    "cpu": Tier((0.1, 0.3), SEEDS[:1]),
    "full": Tier((0.5, 0.3, 0.25, 0.16, 0.1, 0.05), SEEDS),
}


def keys(tier: Tier) -> Iterator[dict[str, Any]]:
    for seed in tier.seeds:
        for keep in tier.keeps:
            for method in METHODS:
                yield {"method": method, "keep": keep, "seed": seed}


def measure(dense: Dense, method: str, keep: float) -> Cell:
    budget = {"type": "keep_ratio", "value": keep}
    return dense.measured(dense.run_of(**METHODS[method], budget=budget))


def table(cells: list[Cell], keeps: tuple[float, ...]) -> str:
    """Mean drop in points ± half of its 95 % interval."""
    rows = [
        (
            method,
            *(
                shown([c for c in cells if (c["method"], c["keep"]) == (method, keep)])
                for keep in keeps
            ),
        )
        for method in METHODS
    ]
    return markdown(("method", *map(str, keeps)), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tier", choices=tuple(TIERS), default="cpu")
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    tier, grid = TIERS[arguments.tier], Grid("trained_methods.jsonl")
    models: dict[int, Dense] = {}
    for key in () if arguments.summary else keys(tier):
        if grid.find(key) is None:
            dense = models.setdefault(key["seed"], Dense(key["seed"]))
            grid.cell(key, partial(measure, dense, key["method"], key["keep"]))
    print(table(list(grid), tuple(sorted(tier.keeps, reverse=True))))


if __name__ == "__main__":
    main()
