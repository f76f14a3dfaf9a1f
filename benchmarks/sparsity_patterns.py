"""What pruning leaves of the matrices: `python -m benchmarks.sparsity_patterns`.

Three epochs of first-order pruning of both kinds, and of magnitude pruning as their control, keep
0.1, on the classifier of `sentiment`: the same `prune` stage that a job of `lpaf` has. By matrix
and over the steps the numerical rank (σ_i > 1e-3 σ_1); before and after the exact rank, and the
tail, which is the share of ‖W‖² beyond the rank that the budget allows; and the density of
weights in 24 × 24 blocks of the matrices of one block.

CPU-hours, on one thread: 0.3 for the three cells.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from benchmarks.grid import Cell, Grid, markdown
from benchmarks.sentiment import Dense, make
from benchmarks.trained_methods import lpaf
from core.compression.methods import stage
from core.compression.methods.default import STAGES
from core.compression.methods.pretrained import load_pretrained
from core.compression.methods.stages.prune import REPORT
from core.compression.models.layers import linear_layer
from core.compression.run_state import Run
from core.recipe.events import StructureReported

SEED = 17
KEEP = 0.1
KINDS = ("sensitivity", "movement", "magnitude")
DRAWN_BLOCK = ".3."
"""Of the six, one from the middle."""
BLOCKS = 24


def prune(scores: str) -> Cell:
    with TemporaryDirectory() as folder:
        return pruned(pruning_run(scores, Path(folder)))


def pruning_run(scores: str, folder: Path) -> Run:
    """In a workspace of its own: pruning is to be watched, not found done."""
    budget = {"type": "keep_ratio", "value": KEEP}
    run = Dense(SEED).run_of(**lpaf(scores=scores), budget=budget)
    run = Run.begin(run.recipe, replace(run.workspace, directory=folder))
    make(run, ("resolve", "adapt"))
    return run


def pruned(run: Run) -> Cell:
    work = stage.make(STAGES["prune"], run, "prune")
    told = [event for event in work if isinstance(event, StructureReported)]
    told = [event for event in told if event.layers[0].rank is not None]
    before, after = weights(load_pretrained(run), run), weights(run.load_unfactorized(), run)
    return {
        "steps": [event.step for event in told],
        "layers": [
            {
                **found,
                "rank_limit": rank_limit(after[found["name"]]),
                "tail_before": tail(before[found["name"]]),
                "tail_after": tail(after[found["name"]]),
                "ranks": [event.layers[n].rank for event in told],
            }
            for n, found in enumerate(run.read("prune", REPORT))
        ],
        "density": {name: densities(w) for name, w in after.items() if DRAWN_BLOCK in name},
    }


def weights(model: nn.Module, run: Run) -> dict[str, Tensor]:
    return {each.name: linear_layer(model, each.name).weight.detach() for each in run.targets}


def rank_limit(weight: Tensor) -> int:
    """Of the factors that hold this share of the weights."""
    return int(KEEP * weight.numel() / sum(weight.shape))


def tail(weight: Tensor) -> float:
    """The share of ‖W‖² beyond that rank: what plain truncation loses."""
    squares = torch.linalg.svdvals(weight.double()).square()
    return round(float(squares[rank_limit(weight) :].sum() / squares.sum()), 4)


def densities(weight: Tensor) -> list[list[float]]:
    """The share of weights that are left, by block: [BLOCKS][BLOCKS]."""
    left = (weight != 0).double()
    rows, columns = (size // BLOCKS for size in weight.shape)
    blocks = left.reshape(BLOCKS, rows, BLOCKS, columns).mean((1, 3))
    return [[round(value, 3) for value in row] for row in blocks.tolist()]


RANKS = ("numerical_rank_before", "numerical_rank_after", "exact_rank_after")


def table(cells: list[Cell]) -> str:
    """Means over the matrices: ranks as shares of the full one, tails, rows and columns."""
    header = ("pruned by", *RANKS, "tail_before", "tail_after", "empty_rows", "empty_columns")
    rows = []
    for cell in cells:
        layers = cell["layers"]
        ranks = [mean(layer[rank] / layer["full_rank"] for layer in layers) for rank in RANKS]
        tails = [mean(layer[name] for layer in layers) for name in header[4:6]]
        empty = [mean(layer[name] for layer in layers) for name in header[6:]]
        figures = [f"{share:.3f}" for share in ranks + tails] + [f"{n:.1f}" for n in empty]
        rows.append((cell["scores"], *figures))
    return markdown(tuple(name.replace("_", " ") for name in header), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", action="store_true")
    grid = Grid("sparsity_patterns.jsonl")
    if not parser.parse_args().summary:
        for scores in KINDS:
            grid.cell({"scores": scores, "keep": KEEP, "seed": SEED}, partial(prune, scores))
    print(table(list(grid)))


if __name__ == "__main__":
    main()
