"""Drawings that only live pages need: stage bars, the timeline's tracks, and loss curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from api.dashboard.jobs.queries import LossPoint
from core.reporting import svg
from core.reporting.scale import LinearScale

SEGMENT, SEGMENT_GAP, SEGMENT_HEIGHT = 15.0, 2.0, 8.0
TRACK_WIDTH, TRACK_HEIGHT, THINNEST = 600.0, 10.0, 3.0
CURVE_WIDTH, CURVE_HEIGHT, CURVE_LEFT, CURVE_FOOT, CURVE_TOP = 520.0, 180.0, 44.0, 34.0, 8.0
MOST_POINTS = 130


@dataclass(frozen=True)
class Segment:
    """One stage in a bar: a class of the stylesheet, and how much of a running one is done."""

    kind: str
    done: float = 0.0


@dataclass(frozen=True)
class Span:
    """A stage on the time axis, as shares of it: where it began, where it is, where it will end."""

    kind: str
    start: float
    now: float
    end: float


def stage_bar_svg(segments: Sequence[Segment], label: str) -> str:
    """One segment a stage; the running one is filled as far as it is done."""
    width = len(segments) * (SEGMENT + SEGMENT_GAP) - SEGMENT_GAP
    parts = [_segment(segment, i * (SEGMENT + SEGMENT_GAP)) for i, segment in enumerate(segments)]
    return svg.drawing(width, SEGMENT_HEIGHT, label, *parts)


def _segment(segment: Segment, x: float) -> str:
    base = svg.rectangle(
        x + 0.5, 0.5, SEGMENT - 1, SEGMENT_HEIGHT - 1, f"segment {segment.kind}", radius=1.5
    )
    if not segment.done:
        return base
    done = svg.rectangle(x, 0, SEGMENT * segment.done, SEGMENT_HEIGHT, "segment done", radius=1.5)
    return base + done


def track_svg(span: Span | None, label: str) -> str:
    """A stage's place in the job's time; what is still ahead of a running one is outlined."""
    parts = [svg.rectangle(0, 0, TRACK_WIDTH, TRACK_HEIGHT, "ground")]
    if span is not None:
        start = min(span.start * TRACK_WIDTH, TRACK_WIDTH - THINNEST)
        spent = max((span.now - span.start) * TRACK_WIDTH, THINNEST)
        ahead = (span.end - span.now) * TRACK_WIDTH
        parts.append(svg.rectangle(start, 0, spent, TRACK_HEIGHT, f"span {span.kind}"))
        if ahead > 0:
            parts.append(svg.rectangle(start + spent, 0, ahead, TRACK_HEIGHT, "span ahead"))
    return svg.element(
        "svg",
        svg.element("title", escape(label)) + "".join(parts),
        viewBox=f"0 0 {TRACK_WIDTH:g} {TRACK_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        class_="track",
    )


def loss_curve_svg(points: Sequence[LossPoint], label: str) -> str:
    """The loss over the steps of a stage, up to its last step; the newest value is marked."""
    curve = thinned(unrepeated(points))
    total = max(points[-1].total, 1)
    x = LinearScale(0, total, CURVE_LEFT, CURVE_WIDTH - 54)
    y = _loss_scale(curve)
    places = [(x(point.step), y(point.loss)) for point in curve]
    last_x, last_y = places[-1]
    return svg.drawing(
        CURVE_WIDTH,
        CURVE_HEIGHT,
        label,
        *_grid(y, x),
        *_steps_axis(x, y.start),
        svg.polyline(places, "curve"),
        svg.circle(last_x, last_y, 3.5, "dot"),
        svg.text(last_x + 8, last_y + 4, f"{curve[-1].loss:.3f}", "value"),
    )


def unrepeated(points: Sequence[LossPoint]) -> list[LossPoint]:
    """Steps that a resumed attempt took again count as it took them."""
    kept: list[LossPoint] = []
    for point in points:
        while kept and kept[-1].step >= point.step:
            kept.pop()
        kept.append(point)
    return kept


def thinned(points: Sequence[LossPoint]) -> list[LossPoint]:
    """At most MOST_POINTS, each the mean of as many neighbours."""
    width = -(-len(points) // MOST_POINTS)
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [
        LossPoint(group[-1].step, group[-1].total, sum(p.loss for p in group) / len(group))
        for group in groups
    ]


def _loss_scale(curve: Sequence[LossPoint]) -> LinearScale:
    """From zero, as a loss is; upwards in positions, that is, downwards in the drawing."""
    highest = max(point.loss for point in curve) or 1.0
    return LinearScale(0, highest * 1.05, CURVE_HEIGHT - CURVE_FOOT, CURVE_TOP)


def _grid(y: LinearScale, x: LinearScale) -> list[str]:
    marks = []
    for tick in y.ticks(4):
        marks.append(svg.line(x.start, y(tick), x.end, y(tick), "axis"))
        marks.append(svg.text(x.start - 8, y(tick) + 4, f"{tick:g}", "label", "end"))
    return marks


def _steps_axis(x: LinearScale, base: float) -> list[str]:
    marks = [svg.text((x.start + x.end) / 2, base + 32, "step", "label", "middle")]
    for tick in x.ticks(5):
        marks.append(svg.text(x(tick), base + 16, f"{tick:,.0f}", "label", "middle"))
    return marks
