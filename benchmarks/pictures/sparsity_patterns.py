"""Where pruning leaves weights: the matrices of one block, by movement and by magnitude."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

from benchmarks.grid import Cell
from benchmarks.pictures.rank_trajectories import KINDS, is_of
from benchmarks.pictures.style import ACCENT, INK, PAPER, save

DENSITY = LinearSegmentedColormap.from_list("density", [PAPER, ACCENT, "#052b3c"])


def sparsity_patterns(cells: Sequence[Cell]) -> None:
    figure, rows = plt.subplots(
        len(cells),
        len(KINDS),
        figsize=(7.6, 1.25 * len(cells) + 0.5),
        facecolor=PAPER,
        layout="constrained",
    )
    for cell, row in zip(cells, rows, strict=True):
        for axes, (kind, title) in zip(row, KINDS.items(), strict=True):
            (blocks,) = (each for name, each in cell["density"].items() if is_of(name, kind))
            image = axes.imshow(blocks, cmap=DENSITY, vmin=0, vmax=0.5)
            axes.set_xticks([])
            axes.set_yticks([])
            if cell is cells[0]:
                axes.set_title(title.replace("feed-forward", "FFN"), color=INK, fontsize=8)
        row[0].set_ylabel(cell["scores"], color=INK)
    bar = figure.colorbar(image, ax=rows, shrink=0.8, label="share of weights left")
    bar.outline.set_visible(False)
    save(figure, "sparsity_patterns")
