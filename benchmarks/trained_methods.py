"""The methods that train, at equal steps: `python -m benchmarks.trained_methods [--tier cpu|full]`.

Every row of the table has had the same number of optimizer steps on the same 2,000 texts in all:
three epochs of adaptation and three of recovery, or six that do both at once. Drop of the accuracy
on the 5,000 test texts, with its interval paired by text; rates and options are the validation
split's choice. The claims to check: rankdyna and lpaf are ahead of fwsvd with fine-tuning, and the
more so the less is kept; the best of ours is within 1 point of dense at 0.1 and 2 at 0.05.

CPU-hours, on one thread: cpu (keep 0.3, 0.1, 0.05; one seed) 1.5; full (six budgets, three seeds)
9.
"""

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import SEEDS, Dense, make
from benchmarks.sentiment_methods import REFIT, shown
from core.compression.methods.compressed import final_stage, load_compressed
from core.compression.run_state import Run

EPOCHS = 3
"""Of adaptation, and of recovery."""
TRAINING = {"batch_size": 16, "learning_rate": 1e-4}
PLAIN = {"type": "plain", "epochs": EPOCHS, **TRAINING}
DISTILL = {"type": "distill", "epochs": EPOCHS, **TRAINING}
STATISTICS = {"calibration": {"rows": 2000}}
MEASURING = ("evaluate", "export")


def lpaf(scores: str) -> dict[str, Any]:
    return {
        "method": {"type": "lpaf", "pruning": {"scores": scores, "epochs": EPOCHS, **TRAINING}},
        "allocation": {"type": "uniform"},
        "finetune": {"type": "mixed_rank", "epochs": EPOCHS, **TRAINING},
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
    "rankdyna": {
        "method": {"type": "rankdyna", "training": {"epochs": 2 * EPOCHS, **TRAINING}},
        "allocation": {"type": "uniform"},
    },
    "lpaf": lpaf("movement"),
    "lpaf, by magnitude": lpaf("magnitude"),
}


@dataclass(frozen=True)
class Tier:
    keeps: tuple[float, ...]
    seeds: tuple[int, ...]


TIERS = {
    "cpu": Tier((0.1, 0.3, 0.05), SEEDS[:1]),
    "full": Tier((0.5, 0.3, 0.25, 0.16, 0.1, 0.05), SEEDS),
}


def keys(tier: Tier) -> Iterator[dict[str, Any]]:
    for seed in tier.seeds:
        for keep in tier.keeps:
            for method in METHODS:
                yield {"method": method, "keep": keep, "seed": seed}


def measure(dense: Dense, method: str, keep: float) -> Cell:
    return scored(dense, compress(dense, METHODS[method], keep))


def compress(dense: Dense, fields: dict[str, Any], keep: float) -> Run:
    """All of a job but evaluation and export."""
    assert dense.run
    run = dense.run_of(**fields, budget={"type": "keep_ratio", "value": keep})
    make(run, [stage for stage in run.recipe.method.stages if stage not in MEASURING])
    return run


def scored(dense: Dense, run: Run) -> Cell:
    """Leaves in the cache what other budgets share."""
    compared = dense.compared(load_compressed(run, final_stage(run)))
    for stage in ("factorize", "finetune"):
        shutil.rmtree(run.folder(stage), ignore_errors=True)
    return {"kept": run.plan.keep_ratio, **compared}


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
