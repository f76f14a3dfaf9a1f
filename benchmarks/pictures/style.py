"""How pictures look, and where they go. SVGs carry no date and no random ids: the same grid gives
the same file."""

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "rankwise", "font.size": 9, "font.family": "DejaVu Sans"}

import matplotlib.pyplot as plt  # noqa: E402 (a backend is chosen first)
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
INK, ACCENT, PAPER = "#4a4a4a", "#0b6e99", "#ffffff"


def calm(axes: Axes) -> None:
    """No frame where nothing is read off, and numbers in the colour of the text."""
    axes.tick_params(colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save(figure: Figure, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
