"""Metrics with their bootstrap intervals: the values, and the paired drops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.recipe.events import MetricMeasured, Phase
from core.reporting import svg
from core.reporting.numbers import (
    change_unit,
    metric_change,
    metric_heading,
    metric_value,
)
from core.reporting.result import PHASE_TITLES
from core.reporting.scale import LinearScale, scale_around

WIDTH, LEFT, RIGHT, ROW, TOP, FOOT = 440.0, 76.0, 58.0, 28.0, 8.0, 40.0


@dataclass(frozen=True)
class Whisker:
    """One row of an interval plot."""

    label: str
    value: float
    interval: tuple[float, float]
    text: str
    tooltip: str
    quiet: bool
    """The dense model, which the others are held against."""


@dataclass(frozen=True)
class PairedChange:
    """This phase − dense, on the same rows: a drop with its sign turned."""

    phase: Phase
    name: str
    value: float
    interval: tuple[float, float]
    n: int


TickText = Callable[[float], str]


def intervals_svg(metrics: Sequence[MetricMeasured]) -> str:
    """One metric of each phase with its interval; a line marks the dense model's value."""
    name = metrics[0].name
    dense = next((m.value for m in metrics if m.phase == "dense"), None)
    rows = [_value_whisker(metric) for metric in metrics]
    axis_title = metric_heading(name)
    return _plot(rows, dense, axis_title, lambda tick: metric_value(name, tick))


def changes_svg(metrics: Sequence[MetricMeasured]) -> str:
    """How each compressed phase differs from dense on the same rows; a line marks no change."""
    name = metrics[0].name
    rows = [_change_whisker(change) for change in map(paired_change, metrics) if change]
    axis_title = f"change against dense, paired {change_unit(name)}".strip()
    return _plot(rows, 0.0, axis_title, lambda tick: metric_change(name, tick))


def paired_change(metric: MetricMeasured) -> PairedChange | None:
    if metric.drop is None or metric.drop_interval is None:
        return None
    low, high = metric.drop_interval
    return PairedChange(metric.phase, metric.name, -metric.drop, (-high, -low), metric.n)


def _value_whisker(metric: MetricMeasured) -> Whisker:
    low, high = (metric_value(metric.name, bound) for bound in metric.interval)
    shown = metric_value(metric.name, metric.value)
    title = PHASE_TITLES[metric.phase]
    tooltip = f"{title}: {shown} [{low}, {high}], n = {metric.n}"
    quiet = metric.phase == "dense"
    return Whisker(title, metric.value, metric.interval, shown, tooltip, quiet)


def _change_whisker(change: PairedChange) -> Whisker:
    low, high = (metric_change(change.name, bound) for bound in change.interval)
    shown = metric_change(change.name, change.value)
    title = PHASE_TITLES[change.phase]
    tooltip = f"{title}: {shown} [{low}, {high}], n = {change.n}"
    return Whisker(title, change.value, change.interval, shown, tooltip, quiet=False)


def _plot(
    rows: Sequence[Whisker], reference: float | None, axis_title: str, tick_text: TickText
) -> str:
    bottom = TOP + len(rows) * ROW
    ends = [end for row in rows for end in row.interval]
    values = [row.value for row in rows]
    marked = [] if reference is None else [reference]
    scale = scale_around(ends + values + marked, LEFT, WIDTH - RIGHT)
    return svg.drawing(
        WIDTH,
        bottom + FOOT,
        axis_title,
        *(_reference(scale(value), bottom) for value in marked),
        *(_row(row, scale, TOP + (i + 0.5) * ROW) for i, row in enumerate(rows)),
        *_axis(scale, bottom, axis_title, tick_text),
    )


def _reference(x: float, bottom: float) -> str:
    return svg.line(x, TOP, x, bottom, "reference")


def _row(row: Whisker, scale: LinearScale, y: float) -> str:
    low, high = (scale(end) for end in row.interval)
    return svg.group(
        svg.text(LEFT - 14, y + 3.5, row.label, "label", "end"),
        svg.line(low, y, high, y, "whisker"),
        svg.line(low, y - 4, low, y + 4, "whisker"),
        svg.line(high, y - 4, high, y + 4, "whisker"),
        svg.circle(scale(row.value), y, 4.5, "dot quiet-dot" if row.quiet else "dot"),
        svg.text(WIDTH - 4, y + 3.5, row.text, "value", "end"),
        tooltip=row.tooltip,
    )


def _axis(scale: LinearScale, y: float, title: str, tick_text: TickText) -> list[str]:
    marks = [svg.line(scale.start, y, scale.end, y, "axis")]
    for tick in scale.ticks(4):
        marks.append(svg.line(scale(tick), y, scale(tick), y + 4, "axis"))
        marks.append(svg.text(scale(tick), y + 16, tick_text(tick), "label", "middle"))
    return [*marks, svg.text((scale.start + scale.end) / 2, y + 34, title, "label", "middle")]
