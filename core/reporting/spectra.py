"""A layer's spectrum with its cut-off: what truncation keeps and what it gives up."""

import math
from collections.abc import Sequence
from itertools import pairwise

from core.recipe.events import LayerReport
from core.reporting import svg
from core.reporting.rank_map import break_even_rank, describe, full_rank
from core.reporting.scale import LinearScale

WIDTH, HEIGHT, AXIS = 132.0, 62.0, 0.5
FLOOR = -6.0
"""log10 of the smallest share of the largest squared singular value that is drawn."""


def spectrum_svg(layer: LayerReport) -> str:
    """log10 σ²/σ₁² over the rank, from 1 to full; what the cut-off keeps is shaded. A dashed line
    is the weight's own spectrum, where the method weighs it otherwise.

    The report's spectra hold points evenly spaced over the ranks.
    """
    points, raw = curve(layer.spectrum), curve(layer.raw_spectrum)
    return svg.drawing(
        WIDTH,
        HEIGHT,
        describe(layer),
        *_curve_marks(points, cut_off_position(layer)),
        *([svg.polyline(raw, "raw-curve")] if raw else []),
        svg.line(0, HEIGHT - AXIS, WIDTH, HEIGHT - AXIS, "axis"),
        *_break_even_mark(layer),
    )


def curve(spectrum: Sequence[float]) -> list[tuple[float, float]]:
    """A spectrum as positions in the drawing; empty when there is nothing to draw."""
    if not spectrum or spectrum[0] <= 0:
        return []
    x = LinearScale(0, max(1, len(spectrum) - 1), 0, WIDTH)
    y = LinearScale(FLOOR, 0, HEIGHT - AXIS, 2)
    return [(x(i), y(_log_share(s, spectrum[0]))) for i, s in enumerate(spectrum)]


def cut_off_position(layer: LayerReport) -> float:
    """Where the kept ranks end, 0 … WIDTH; a dense layer keeps them all."""
    return WIDTH if layer.rank is None else WIDTH * layer.rank / full_rank(layer)


def _curve_marks(points: list[tuple[float, float]], cut: float) -> list[str]:
    if not points:
        return []
    base = HEIGHT - AXIS
    kept = [p for p in points if p[0] <= cut] + [(cut, height_at(points, cut))]
    given_up = [(cut, height_at(points, cut))] + [p for p in points if p[0] > cut]
    return [
        svg.area(kept, base, "kept"),
        svg.area(given_up, base, "given-up"),
        svg.polyline(points, "curve"),
        svg.line(cut, height_at(points, cut), cut, base, "cut-off"),
    ]


def height_at(points: list[tuple[float, float]], x: float) -> float:
    """The curve between its points, linearly."""
    for (x1, y1), (x2, y2) in pairwise(points):
        if x1 <= x <= x2:
            return y1 + (y2 - y1) * (x - x1) / (x2 - x1)
    return points[-1][1]


def _break_even_mark(layer: LayerReport) -> list[str]:
    x = WIDTH * break_even_rank(layer) / full_rank(layer)
    return [svg.line(x, HEIGHT - 5, x, HEIGHT, "break-even")]


def _log_share(squared: float, largest: float) -> float:
    share = squared / largest
    return max(FLOOR, math.log10(share)) if share > 0 else FLOOR
