"""Each layer's predicted loss increase against the error that its factors were measured to have."""

import math
from collections.abc import Sequence

from core.recipe.events import LayerReport
from core.reporting import svg
from core.reporting.layer_names import layer_titles
from core.reporting.scale import LinearScale

WIDTH, HEIGHT = 440.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 10.0, 40.0


def errors_svg(layers: Sequence[LayerReport]) -> str | None:
    """Both axes logarithmic; None where fewer than two layers have both."""
    points = [
        (layer.name, layer.predicted_loss_increase, layer.measured_error)
        for layer in layers
        if layer.predicted_loss_increase and layer.measured_error
    ]
    points = [(name, x, y) for name, x, y in points if x > 0 and y > 0]
    if len(points) < 2:
        return None
    titles = layer_titles(name for name, *_ in points)
    x = _scale([math.log10(predicted) for _, predicted, _ in points], LEFT, WIDTH - RIGHT)
    y = _scale([math.log10(measured) for *_, measured in points], HEIGHT - BOTTOM, TOP)
    dots = [
        svg.group(
            svg.circle(x(math.log10(predicted)), y(math.log10(measured)), 3.5, "dot"),
            tooltip=f"{titles[name]}: predicted {predicted:.2g}, measured {measured:.1%}",
        )
        for name, predicted, measured in points
    ]
    return svg.drawing(
        WIDTH,
        HEIGHT,
        "Predicted loss increase and measured weighted error of each layer",
        *_grid(x, y),
        *dots,
        svg.text(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "predicted loss increase", "label", "middle"
        ),
        svg.text(LEFT, TOP + 2, "measured error", "label"),
    )


def _scale(values: Sequence[float], start: float, end: float) -> LinearScale:
    """With room around; at least a third of a decade."""
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 0.17)
    return LinearScale(low - room, high + room, start, end)


def _grid(x: LinearScale, y: LinearScale) -> list[str]:
    parts = []
    for value in _ticks(x):
        at = x(math.log10(value))
        parts.append(svg.line(at, TOP + 8, at, HEIGHT - BOTTOM, "axis"))
        parts.append(svg.text(at, HEIGHT - BOTTOM + 15, f"{value:g}", "label", "middle"))
    for value in _ticks(y):
        at = y(math.log10(value))
        parts.append(svg.line(LEFT, at, WIDTH - RIGHT, at, "axis"))
        parts.append(svg.text(LEFT - 8, at + 3.5, f"{100 * value:g} %", "label", "end"))
    return parts


def _ticks(scale: LinearScale) -> list[float]:
    """Powers of ten inside; with 2 and 5 of each where those would be fewer than three."""
    low, high = sorted((scale.low, scale.high))
    decades = range(math.floor(low) - 1, math.ceil(high) + 1)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) >= 3:
            return inside
    return inside
