"""What a sweep has measured, drawn: cost to the right, the metric upwards as it gets better."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.reporting import svg
from core.reporting.scale import LinearScale, scale_around

WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 960.0, 340.0, 44.0, 16.0, 18.0, 44.0
RADIUS = 5.0
LABEL_WIDTH, LABEL_HEIGHT = 74.0, 14.0


@dataclass(frozen=True)
class Mark:
    """One point of a sweep."""

    cost: float
    value: float
    interval: tuple[float, float]
    label: str
    tooltip: str
    href: str
    kind: str
    """knee, front or beaten."""


def pareto_svg(
    marks: Sequence[Mark],
    dense: tuple[float, float] | None,
    axes: tuple[str, str],
    higher_is_better: bool,
    label: str,
) -> str:
    """`axes` name cost and metric; `dense` is where the model was before."""
    ends = [end for mark in marks for end in mark.interval]
    costs = [mark.cost for mark in marks] + ([dense[0]] if dense else [])
    values = ends + ([dense[1]] if dense else [])
    x = scale_around(costs, LEFT, WIDTH - RIGHT)
    bottom, top = HEIGHT - FOOT, TOP
    y = scale_around(values, *((bottom, top) if higher_is_better else (top, bottom)))
    front = sorted((mark.cost, mark.value) for mark in marks if mark.kind != "beaten")
    return svg.drawing(
        WIDTH,
        HEIGHT,
        label,
        *_axes(x, y, bottom, axes),
        *_dense(dense, x, y),
        _stairs([(x(cost), y(value)) for cost, value in front]),
        *(_mark(mark, x, y) for mark in sorted(marks, key=lambda mark: mark.kind != "beaten")),
        *_labels(marks, x, y),
    )


def _axes(x: LinearScale, y: LinearScale, bottom: float, names: tuple[str, str]) -> list[str]:
    parts = []
    for tick in y.ticks(5):
        parts.append(svg.line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "axis"))
        parts.append(svg.text(LEFT - 8, y(tick) + 4, f"{tick:g}", "label", "end"))
    for tick in x.ticks(7):
        parts.append(svg.text(x(tick), bottom + 18, f"{tick:g}", "label", "middle"))
    parts.append(svg.text(WIDTH - RIGHT, bottom + 36, names[0], "label", "end"))
    parts.append(svg.text(LEFT, TOP - 4, names[1], "label"))
    return parts


def _dense(dense: tuple[float, float] | None, x: LinearScale, y: LinearScale) -> list[str]:
    if dense is None:
        return []
    cost, value = dense
    return [
        svg.line(LEFT, y(value), x(cost), y(value), "reference"),
        svg.circle(x(cost), y(value), RADIUS - 1, "point dense"),
        svg.text(x(cost), y(value) - 10, "dense", "label", "middle"),
    ]


def _stairs(front: list[tuple[float, float]]) -> str:
    """What the front promises between its points: no better than the last one that fits."""
    corners: list[tuple[float, float]] = []
    for place in front:
        if corners:
            corners.append((place[0], corners[-1][1]))
        corners.append(place)
    return svg.polyline(corners, "front-line") if len(corners) > 1 else ""


def _mark(mark: Mark, x: LinearScale, y: LinearScale) -> str:
    place = (x(mark.cost), y(mark.value))
    low, high = (y(end) for end in mark.interval)
    parts = [svg.line(place[0], low, place[0], high, f"whisker {mark.kind}")]
    if mark.kind == "knee":
        parts.append(svg.circle(*place, RADIUS + 4, "point ring"))
    parts.append(svg.circle(*place, RADIUS, f"point {mark.kind}"))
    titled = svg.group(*parts, tooltip=mark.tooltip)
    return svg.element("a", titled, href=mark.href)


def _labels(marks: Sequence[Mark], x: LinearScale, y: LinearScale) -> list[str]:
    """Of the front, the knee's first; one that would lie on another is left to its tooltip."""
    order = {"knee": 0, "front": 1}
    named = sorted((mark for mark in marks if mark.kind in order), key=lambda m: order[m.kind])
    written: list[tuple[float, float]] = []
    parts = []
    for mark in named:
        place = (x(mark.cost) + 10, y(mark.value) + 16)
        if all(_are_apart(place, other) for other in written):
            written.append(place)
            parts.append(svg.text(*place, mark.label, "label"))
    return parts


def _are_apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) > LABEL_WIDTH or abs(one[1] - other[1]) > LABEL_HEIGHT
