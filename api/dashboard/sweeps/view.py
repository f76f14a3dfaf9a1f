"""The pages of sweeps: rows turned into what their templates show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from api.dashboard import words
from api.dashboard.moment import Moment
from api.dashboard.sweeps.drawing import Mark, pareto_svg
from api.sweeps.schemas import Cost, Pareto, ParetoPoint, Point
from core.database.states import FINISHED
from core.database.tables import Sweep
from core.reporting.numbers import (
    SHARES,
    metric_heading,
    metric_title,
    metric_value,
    percent,
)

COSTS: dict[Cost, str] = {
    "bytes": "MB, whole model",
    "params": "million parameters, whole model",
    "latency": "ms a batch",
}
SCALES: dict[Cost, float] = {"bytes": 1e6, "params": 1e6, "latency": 1.0}


@dataclass(frozen=True)
class SweepLine:
    """One sweep in the list."""

    name: str
    href: str
    model: str
    axes: str
    over: int
    total: int
    statuses: Sequence[tuple[str, int]]
    created: Moment


@dataclass(frozen=True)
class PointLine:
    """One point in the table of a sweep's page."""

    job_id: str
    href: str
    status: str
    method: str
    budget: str
    seed: int
    kept: str
    size: str
    latency: str
    value: str
    interval: str
    change: str
    kind: str
    """knee, front, beaten; nothing before it is measured."""
    failure: str


@dataclass(frozen=True)
class SweepPage:
    line: SweepLine
    id: str
    against: Cost
    costs: Sequence[tuple[Cost, str]]
    metric: str
    split: str
    drawing: Markup | None
    points: Sequence[PointLine]
    seeds_differ: bool
    is_moving: bool


def sweep_line(sweep: Sweep, statuses: Mapping[str, int], now: datetime) -> SweepLine:
    spec = sweep.spec
    model = spec["recipe"].get("model", {})
    axes = [(len(spec["budgets"]), "budget"), (len(_methods(spec)), "method")]
    if len(spec.get("seeds", ())) > 1:
        axes.append((len(spec["seeds"]), "seed"))
    return SweepLine(
        name=sweep.name or "unnamed sweep",
        href=f"/dashboard/sweeps/{sweep.id}",
        model=words.last_part(str(model.get("path") or model.get("id") or "")),
        axes=" × ".join(words.counted_of(*axis) for axis in axes),
        over=sum(statuses.get(state, 0) for state in FINISHED),
        total=sum(statuses.values()),
        statuses=list(statuses.items()),
        created=Moment.of(sweep.created_at, now),
    )


def _methods(spec: dict[str, object]) -> Sequence[object]:
    methods = spec.get("methods", [{}])
    assert isinstance(methods, list)
    return methods


def sweep_page(
    sweep: Sweep,
    statuses: Mapping[str, int],
    points: Sequence[Point],
    pareto: Pareto,
    now: datetime,
) -> SweepPage:
    kinds = {
        point.job_id: "knee" if point.job_id == pareto.knee else _kind(point)
        for point in pareto.points
    }
    line = sweep_line(sweep, statuses, now)
    return SweepPage(
        line=line,
        id=sweep.id,
        against=pareto.against,
        costs=list(COSTS.items()),
        metric=metric_heading(pareto.metric),
        split=pareto.split,
        drawing=_drawn(pareto, kinds) if pareto.points else None,
        points=[point_line(point, pareto.metric, kinds) for point in points],
        seeds_differ=len({point.seed for point in points}) > 1,
        is_moving=line.over < line.total,
    )


def _kind(point: ParetoPoint) -> str:
    return "front" if point.on_front else "beaten"


def _drawn(pareto: Pareto, kinds: dict[str, str]) -> Markup:
    in_percent = 100.0 if pareto.metric in SHARES else 1.0
    scale = SCALES[pareto.against]
    marks = [
        Mark(
            cost=point.cost / scale,
            value=in_percent * point.value,
            interval=_scaled(point.metrics[pareto.metric].interval, in_percent),
            label=f"{point.method} {percent(point.keep_ratio or 0, 0)}",
            tooltip=f"{point.method}, {words.budget(point.budget)}, seed {point.seed}: "
            f"{metric_title(pareto.metric)} {metric_value(pareto.metric, point.value)}",
            href=f"/dashboard/jobs/{point.job_id}",
            kind=kinds[point.job_id],
        )
        for point in pareto.points
    ]
    names = (COSTS[pareto.against], metric_heading(pareto.metric))
    label = f"{metric_title(pareto.metric)} against {names[0]}: {len(marks)} points"
    return Markup(pareto_svg(marks, _dense(pareto), names, pareto.higher_is_better, label))


def _scaled(interval: tuple[float, float], factor: float) -> tuple[float, float]:
    return factor * interval[0], factor * interval[1]


def _dense(pareto: Pareto) -> tuple[float, float] | None:
    dense = pareto.dense
    if dense is None:
        return None
    costs = {"bytes": dense.bytes, "params": dense.params, "latency": dense.latency_ms}
    cost = costs[pareto.against]
    factor = 100.0 if pareto.metric in SHARES else 1.0
    return None if cost is None else (cost / SCALES[pareto.against], factor * dense.value)


def point_line(point: Point, metric: str, kinds: dict[str, str]) -> PointLine:
    found = point.metrics.get(metric)
    return PointLine(
        job_id=point.job_id,
        href=f"/dashboard/jobs/{point.job_id}",
        status=point.status,
        method=point.method,
        budget=words.budget(point.budget),
        seed=point.seed,
        kept="" if point.keep_ratio is None else percent(point.keep_ratio),
        size="" if point.bytes is None else " ".join(words.size(point.bytes)),
        latency="" if point.latency_ms is None else f"{point.latency_ms:.1f} ms",
        value="" if found is None else metric_value(metric, found.value),
        interval="" if found is None else _interval(metric, found.interval),
        change="" if found is None or found.drop is None else words.change(metric, -found.drop),
        kind=kinds.get(point.job_id, ""),
        failure=point.error.message if point.error else "",
    )


def _interval(metric: str, interval: tuple[float, float]) -> str:
    return f"{metric_value(metric, interval[0])} … {metric_value(metric, interval[1])}"
