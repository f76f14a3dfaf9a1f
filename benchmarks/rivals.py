"""Ours against the nearest rival, paired by text: `python -m benchmarks.rivals`.

Table 1 gives drops against the dense model, whose intervals overlap where two methods err on the
same texts. Here both compressed models of a seed read the same 5,000 test texts, without
fine-tuning: accuracy of `kfac, refit` minus that of `svd_llm, refit`, both with ranks by spectra,
in points. The refit is the product's own: SVD-LLM as published comes without.

CPU-hours, on one thread: 0.6 for the 12 cells of two refits each.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import SEEDS, Score, compressed, paired_drop
from benchmarks.sentiment_methods import Bench

KEEP_RATIOS = (0.05, 0.1, 0.2, 0.3)
OURS, RIVAL = "kfac, refit", "svd_llm, refit"


def keys() -> Iterator[dict[str, Any]]:
    for seed in SEEDS:
        for keep in KEEP_RATIOS:
            yield {"keep": keep, "seed": seed}


def score(bench: Bench, method: str, keep: float) -> Score:
    """On the test split."""
    run = bench.run(method, "spectrum", keep, recover=False)
    return bench.dense.score(compressed(run), "test")


def measure(bench: Bench, keep: float) -> Cell:
    ours, rival = (score(bench, method, keep) for method in (OURS, RIVAL))
    lead, low, high = paired_drop(ours.correct, rival.correct)
    return {
        "lead": lead,
        "interval": [low, high],
        "squares": float(np.square(100.0 * (ours.correct - rival.correct)).mean()),
        "texts": len(ours.correct),
        "kl": ours.kl,
        "rival_kl": rival.kl,
    }


def pooled(cells: list[Cell]) -> tuple[float, float]:
    """Mean lead over the seeds' texts, and half its 95 % interval.

    Seeds count as independent: each draws its texts anew, about a fifth are shared by two.
    """
    lead = float(np.mean([cell["lead"] for cell in cells]))
    variances = [(cell["squares"] - cell["lead"] ** 2) / cell["texts"] for cell in cells]
    return lead, 1.96 * float(np.sqrt(np.sum(variances))) / len(cells)


def table(cells: list[Cell]) -> str:
    rows = []
    for keep in KEEP_RATIOS:
        some = [cell for cell in cells if cell["keep"] == keep]
        if some:
            lead, half = pooled(some)
            kl, rival_kl = (np.mean([cell[name] for cell in some]) for name in ("kl", "rival_kl"))
            rows.append((str(keep), f"{lead:+.2f} ± {half:.2f}", f"{kl:.4f}", f"{rival_kl:.4f}"))
    return markdown(("keep", "lead in points", f"KL of {OURS}", f"KL of {RIVAL}"), rows)


def main() -> None:
    grid, benches = Grid("rivals.jsonl"), dict[int, Bench]()
    for key in keys():
        if grid.find(key) is None:
            bench = benches.setdefault(key["seed"], Bench(key["seed"]))
            grid.cell(key, partial(measure, bench, key["keep"]))
    print(table(list(grid)))


if __name__ == "__main__":
    main()
