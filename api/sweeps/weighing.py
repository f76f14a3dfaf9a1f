"""The finished points of a sweep by what they cost and what they lose."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from api.problems import FieldError, Problem
from api.sweeps.schemas import Cost, Dense, Pareto, Point, loss, pareto_point, points_of
from api.sweeps.service import get
from core.database.tables import Job
from core.jobs import sweeps
from core.reporting.numbers import higher_is_better
from core.reporting.pareto import knee, on_front
from core.reporting.result import Result


def pareto(
    session: Session, project_id: str, sweep_id: str, metric: str | None, against: Cost
) -> Pareto:
    """Raises invalid_parameter for a metric that no point has."""
    row = get(session, project_id, sweep_id)
    rows = [job for job in sweeps.jobs_of(session, row) if job.result is not None]
    metric = metric or _headline(rows)
    comparable = [point for point in points_of(rows) if _cost(point, against) is not None]
    if comparable and not any(metric in point.metrics for point in comparable):
        known = sorted({name for point in comparable for name in point.metrics})
        detail = f"must be one of {', '.join(known)}"
        error = FieldError(parameter="metric", detail=detail, code="unknown_metric")
        raise Problem("invalid_parameter", f"metric: {detail}", errors=[error])
    comparable = [point for point in comparable if metric in point.metrics]
    comparable.sort(key=lambda point: _weighed(point, metric, against))
    weighed = [_weighed(point, metric, against) for point in comparable]
    best = knee(weighed)
    return Pareto(
        metric=metric,
        higher_is_better=higher_is_better(metric),
        against=against,
        split=row.spec.get("split", "validation"),
        dense=_dense(rows, metric),
        points=[
            pareto_point(point, metric, cost, front)
            for point, (cost, _), front in zip(comparable, weighed, on_front(weighed), strict=True)
        ],
        knee=None if best is None else comparable[best].job_id,
    )


def _headline(rows: Sequence[Job]) -> str:
    for row in rows:
        result = Result.model_validate(row.result)
        return result.headline or result.metric_names[0]
    return "accuracy"


def _cost(point: Point, against: Cost) -> float | None:
    return {"params": point.params, "bytes": point.bytes, "latency": point.latency_ms}[against]


def _weighed(point: Point, metric: str, against: Cost) -> tuple[float, float]:
    cost = _cost(point, against)
    assert cost is not None
    return cost, loss(metric, point.metrics[metric].value)


def _dense(rows: Sequence[Job], metric: str) -> Dense | None:
    for row in rows:
        result = Result.model_validate(row.result)
        if metric in result.metrics.get("dense", {}):
            return Dense(
                params=result.params.model.before,
                bytes=result.bytes.model.before,
                latency_ms=None if result.latency is None else result.latency.dense_ms,
                value=result.metrics["dense"][metric].value,
            )
    return None
