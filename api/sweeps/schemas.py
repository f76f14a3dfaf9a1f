from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.jobs.examples import RECIPES
from api.jobs.schemas import JobError, Status
from core.database.states import shown_status
from core.database.tables import Job as JobTable
from core.database.tables import Sweep as SweepTable
from core.recipe.config import Config
from core.reporting.numbers import higher_is_better
from core.reporting.result import Result

Cost = Literal["params", "bytes", "latency"]


class View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Measured(View):
    value: float
    interval: tuple[float, float]
    drop: float | None
    """Dense − this, on the same rows."""


class Point(View):
    """One job of a sweep, in what it is compared by; nulls until it has succeeded."""

    job_id: str
    status: Status
    method: str
    budget: dict[str, Any]
    seed: int
    keep_ratio: float | None
    """Of the target layers' weights."""
    params: int | None
    """Of the whole model, as are bytes."""
    bytes: int | None
    latency_ms: float | None
    """The median of a batch."""
    metrics: dict[str, Measured]
    """Of the model that the job's artifact holds."""
    error: JobError | None

    @classmethod
    def of(cls, row: JobTable) -> "Point":
        result = None if row.result is None else Result.model_validate(row.result)
        return cls(
            job_id=row.id,
            status=shown_status(row.state, row.requested),
            method=row.recipe["method"]["type"],
            budget=row.recipe["budget"],
            seed=row.recipe["seed"],
            keep_ratio=None if result is None else result.params.targets.kept,
            params=None if result is None else result.params.model.after,
            bytes=None if result is None else result.bytes.model.after,
            latency_ms=_latency(result),
            metrics={} if result is None else _metrics(result),
            error=row.error,
        )


def _latency(result: Result | None) -> float | None:
    return None if result is None or result.latency is None else result.latency.compressed_ms


def _metrics(result: Result) -> dict[str, Measured]:
    return {
        name: Measured(value=found.value, interval=found.interval, drop=found.drop)
        for name, found in result.metrics[result.final_phase].items()
    }


class Shared(View):
    """How often work is done that jobs of a sweep can share."""

    adaptations: int
    statistics_passes: int


class Sweep(View):
    """Jobs that were submitted together, to choose from."""

    object: Literal["sweep"] = "sweep"
    id: str
    name: str
    spec: dict[str, Any]
    """As it was submitted."""
    statuses: dict[Status, int]
    """How many of its jobs are where."""
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, row: SweepTable, statuses: Mapping[str, int]) -> "Sweep":
        own = f"/v1/sweeps/{row.id}"
        links = {"self": own, "points": f"{own}/points", "pareto": f"{own}/pareto"}
        columns = {name: getattr(row, name) for name in ("id", "name", "spec", "created_at")}
        return cls.model_validate({**columns, "statuses": statuses, "links": links})


class Submitted(Sweep):
    """A sweep that has just been queued."""

    shared: Shared
    """Work that its jobs have between them."""


class Dense(View):
    """The model before compression, as the jobs of a sweep measured it."""

    params: int
    bytes: int
    latency_ms: float | None
    value: float


class ParetoPoint(Point):
    value: float
    """The metric."""
    cost: float
    """Parameters, bytes or milliseconds."""
    on_front: bool
    """No other point is as good in both and better in one."""


class Pareto(View):
    """What a metric costs: the finished points of a sweep, those that nothing beats, and the one
    beyond which less is paid dearly."""

    object: Literal["pareto"] = "pareto"
    metric: str
    higher_is_better: bool
    against: Cost
    split: Literal["validation", "test"]
    dense: Dense | None
    points: list[ParetoPoint]
    """By cost."""
    knee: str | None
    """The job at the front's knee; null where fewer than three points make the front."""


class Promotion(Config):
    """A point that becomes a full job."""

    job_id: str = Field(max_length=64)
    """Of the point."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Fields that go before those of the point's recipe: `finetune`, `exports`, `name`, …"""


def points_of(jobs: Sequence[JobTable]) -> list[Point]:
    return [Point.of(job) for job in jobs]


def pareto_point(point: Point, metric: str, cost: float, on_front: bool) -> ParetoPoint:
    return ParetoPoint(
        **point.model_dump(), value=point.metrics[metric].value, cost=cost, on_front=on_front
    )


def loss(metric: str, value: float) -> float:
    """The metric's value, turned so that less is better."""
    return -value if higher_is_better(metric) else value


EXAMPLE: dict[str, Any] = {
    "name": "sentiment",
    "recipe": {name: RECIPES["kfac"][name] for name in ("model", "task")},
    "budgets": [{"type": "keep_ratio", "value": value} for value in (0.5, 0.3, 0.2, 0.1)],
    "methods": [{"preset": "best-no-training"}, {"method": {"type": "fwsvd"}}],
}
ID = "swp_01jt0v9d5k2m7x8c4b6n3q1w0e"
OWN = f"/v1/sweeps/{ID}"
SWEEP: dict[str, Any] = {
    "object": "sweep",
    "id": ID,
    "name": "sentiment",
    "spec": EXAMPLE,
    "statuses": {"succeeded": 5, "running": 1, "queued": 2},
    "created_at": "2026-05-04T09:30:00Z",
    "links": {"self": OWN, "points": f"{OWN}/points", "pareto": f"{OWN}/pareto"},
}
SUBMITTED = SWEEP | {
    "statuses": {"queued": 8},
    "shared": {"adaptations": 1, "statistics_passes": 1},
}
EXAMPLE_POINT: dict[str, Any] = {
    "job_id": "job_01jt0v4c2m8e0t7q5yz3h1kx9b",
    "status": "succeeded",
    "method": "kfac",
    "budget": {"type": "keep_ratio", "value": 0.3, "scope": "targets"},
    "seed": 17,
    "keep_ratio": 0.2997,
    "params": 15278976,
    "bytes": 61115904,
    "latency_ms": 41.2,
    "metrics": {"accuracy": {"value": 0.889, "interval": [0.869, 0.908], "drop": 0.002}},
    "error": None,
}
EXAMPLE_PARETO: dict[str, Any] = {
    "object": "pareto",
    "metric": "accuracy",
    "higher_is_better": True,
    "against": "bytes",
    "split": "validation",
    "dense": {"params": 22713216, "bytes": 90852864, "latency_ms": 74.9, "value": 0.891},
    "points": [EXAMPLE_POINT | {"value": 0.889, "cost": 61115904, "on_front": True}],
    "knee": None,
}
