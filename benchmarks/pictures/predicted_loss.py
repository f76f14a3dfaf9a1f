"""Table 7: every plan of table 1 that predicts a loss increase, predicted times the one fitted
factor against measured, on the validation rows."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.grid import Cell
from benchmarks.pictures.style import ACCENT, INK, PAPER, calm, save
from benchmarks.sentiment_methods import fitted_factor

MARKS = {"spectrum": "o", "uniform": "s"}
LABEL_SIDES = {"spectrum": ("right", (-5, 2)), "uniform": ("left", (5, -6))}
"""Of their marks, so that labels of the two do not meet."""


def predicted_loss(cells: Sequence[Cell]) -> None:
    factor, spread = fitted_factor(cells)
    figure, axes = plt.subplots(figsize=(5.2, 4.2), facecolor=PAPER)
    for allocation, mark in MARKS.items():
        some = [cell for cell in cells if cell["allocation"] == allocation]
        axes.scatter(
            [factor * cell["predicted_increase"] for cell in some],
            [cell["measured_increase"] for cell in some],
            marker=mark, s=26, facecolor="none", edgecolor=ACCENT, label=f"{allocation} ranks",
        )  # fmt: skip
        for cell in some:
            if cell["seed"] == cells[0]["seed"]:
                label(axes, factor * cell["predicted_increase"], cell)
    diagonal(axes)
    axes.set_xlabel(f"predicted loss increase × {factor:.1f}", color=INK)
    axes.set_ylabel("measured loss increase", color=INK)
    axes.set_title(f"kfac, no fine-tuning; spread ×/÷ {spread:.2f}", color=INK, loc="left")
    legend = axes.legend(frameon=False, labelcolor=INK, title="labels: keep ratio, first seed")
    legend.get_title().set(color=INK, fontsize=7)
    figure.tight_layout()
    save(figure, "predicted_loss")


def label(axes: Axes, x: float, cell: Cell) -> None:
    side, offset = LABEL_SIDES[cell["allocation"]]
    axes.annotate(
        f"{cell['keep']:g}", (x, cell["measured_increase"]), xytext=offset, ha=side,
        textcoords="offset points", color=INK, fontsize=7,
    )  # fmt: skip


def diagonal(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color=INK, linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    calm(axes)
