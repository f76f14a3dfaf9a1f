"""The ranks of a search over its steps: a panel for each kind of matrix, a line for each block."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from benchmarks.grid import Cell
from benchmarks.pictures.style import ACCENT, INK, PAPER, calm, save

KINDS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attention output",
    "intermediate.dense": "feed-forward, first",
    "output.dense": "feed-forward, second",
}
DEPTH = LinearSegmentedColormap.from_list("depth", ["#c3d9e3", ACCENT, "#052b3c"])
WIDTH, INNER = 384, 1536
"""Of MiniLM."""


def rank_trajectories(cell: Cell) -> None:
    figure, rows = plt.subplots(
        2, 3, figsize=(7.2, 4.4), sharex=True, sharey=True, facecolor=PAPER, layout="constrained"
    )
    for axes, (kind, title) in zip(rows.flat, KINDS.items(), strict=True):
        its_own = {name: ranks for name, ranks in cell["ranks"].items() if is_of(name, kind)}
        panel(axes, cell["steps"], its_own)
        axes.axhline(break_even(title), color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
        axes.set_title(title, color=INK, loc="left", fontsize=9)
    for axes in rows[:, 0]:
        axes.set_ylabel("rank", color=INK)
    for axes in rows[1]:
        axes.set_xlabel("step", color=INK)
    lines, labels = rows.flat[0].get_legend_handles_labels()
    figure.legend(
        lines, labels, loc="outside lower center", ncols=len(labels), frameon=False, labelcolor=INK
    )
    figure.suptitle(
        f"rankdyna, keep {cell['keep']:g}; dashed: break-even", color=INK, x=0.01, ha="left"
    )
    save(figure, f"rank_trajectories_{cell['keep']:g}")


def is_of(name: str, kind: str) -> bool:
    """The second feed-forward layer's name is part of the attention output's."""
    return name.endswith(kind) and (kind != "output.dense" or "attention" not in name)


def break_even(title: str) -> float:
    """The rank at which factors hold as much as the dense weight."""
    other = INNER if title.startswith("feed-forward") else WIDTH
    return WIDTH * other / (WIDTH + other)


def panel(axes: Axes, steps: Sequence[int], ranks: Mapping[str, Sequence[int]]) -> None:
    for block, line in enumerate(ranks.values()):
        color = DEPTH(block / (len(ranks) - 1))
        axes.plot(steps, line, color=color, linewidth=1.1, label=f"block {block}")
    calm(axes)
