"""What helps the two-sided method: `python -m benchmarks.kfac_variants`.

On the 1,000 validation rows only, for these are choices: damping of the output side, true against
empirical Fisher, each alone and before a sequential refit; ranks by spectra. KL to the dense model
tells variants apart that agree in accuracy within noise.

CPU-hours, on one thread: 0.4 for the 42 cells alone, 0.8 for the 18 with refit.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import Dense, compressed

SEEDS = (17, 18)
KEEP_RATIOS = (0.3, 0.1, 0.05)
OUTPUT_DAMPINGS = (0.0, 0.01, 0.1, 0.3, 1.0)
REFITTED = ((0.1, "empirical"), (1.0, "empirical"), (0.1, "true"))
TRUE_FISHER = ((0.1, "true"), (0.3, "true"))


def keys() -> Iterator[dict[str, Any]]:
    """Seed by seed."""
    alone = [*((damping, "empirical") for damping in OUTPUT_DAMPINGS), *TRUE_FISHER]
    for seed in SEEDS:
        for refit, variants in ((False, alone), (True, REFITTED)):
            for damping, fisher in variants:
                for keep in KEEP_RATIOS:
                    yield {
                        "fisher": fisher,
                        "output_damping": damping,
                        "refit": refit,
                        "keep": keep,
                        "seed": seed,
                    }


class Bench:
    """The variants on one fine-tuned model."""

    def __init__(self, seed: int):
        self.dense = Dense(seed)
        self.accuracy = self.dense.score(self.dense.model(), "validation").accuracy

    def cell(self, key: dict[str, Any]) -> Cell:
        run = self.dense.run_of(
            method={"type": "kfac", "output_damping": key["output_damping"]},
            calibration={"rows": 2000, "fisher": key["fisher"]},
            allocation={"type": "spectrum"},
            budget={"type": "keep_ratio", "value": key["keep"]},
            refit={"type": "sequential", "granularity": "layer"}
            if key["refit"]
            else {"type": "none"},
        )
        score = self.dense.score(compressed(run), "validation")
        return {"kl": score.kl, "drop": 100 * (self.accuracy - score.accuracy)}


def table(cells: list[Cell]) -> str:
    """Mean over the seeds of KL, and of the drop in points."""
    variants = dict.fromkeys((c["fisher"], c["output_damping"], c["refit"]) for c in cells)
    rows = []
    for fisher, damping, refit in variants:
        of_row = [
            c
            for c in cells
            if (c["fisher"], c["output_damping"], c["refit"]) == (fisher, damping, refit)
        ]
        shown = (mean([c for c in of_row if c["keep"] == keep]) for keep in KEEP_RATIOS)
        rows.append((f"{fisher}, ε_G = {damping}{', refit' if refit else ''}", *shown))
    return markdown(("KL (drop in points) at keep", *map(str, KEEP_RATIOS)), rows)


def mean(cells: list[Cell]) -> str:
    if not cells:
        return ""
    kl, drop = (sum(cell[name] for cell in cells) / len(cells) for name in ("kl", "drop"))
    return f"{kl:.4f} ({drop:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    grid = Grid("kfac_variants.jsonl")
    benches: dict[int, Bench] = {}
    for key in () if arguments.summary else keys():
        if grid.find(key) is None:
            bench = benches.setdefault(key["seed"], Bench(key["seed"]))
            grid.cell(key, partial(bench.cell, key))
    print(table(list(grid)))


if __name__ == "__main__":
    main()
