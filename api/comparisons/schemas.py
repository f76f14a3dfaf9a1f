from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.jobs.schemas import Status
from core.reporting.result import BeforeAfter


class View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ComparedJob(View):
    id: str
    name: str
    status: Status
    recipe_hash: str


class FieldDifference(View):
    """A field of the recipes that is not the same in all."""

    pointer: str
    values: list[Any]
    """One for each job; null where its recipe has no such field."""


class MetricComparison(View):
    """One metric of the final models."""

    name: str
    higher_is_better: bool
    values: list[float | None]
    intervals: list[tuple[float, float] | None]
    drops: list[float | None]
    """Dense − this, each against its own dense model on the same rows."""


class SizeComparison(View):
    """Before and after; null until a job has succeeded."""

    params: list[BeforeAfter | None]
    target_params: list[BeforeAfter | None]
    bytes: list[BeforeAfter | None]
    latency_ms: list[float | None]


class RankComparison(View):
    """One target layer's rank in each result."""

    layer: str
    ranks: list[int | None]
    """Null where it is dense, or no target."""


class Comparison(View):
    """Two to six jobs beside each other; every list is in the order of `jobs`."""

    object: Literal["comparison"] = "comparison"
    jobs: list[ComparedJob]
    recipe: list[FieldDifference]
    sizes: SizeComparison
    metrics: list[MetricComparison]
    ranks: list[RankComparison]
    """Of the layers whose ranks are not the same in all."""
    same_rows: bool
    """Whether all metrics are of the same rows: model aside, they can be compared number by
    number."""


EXAMPLE: dict[str, Any] = {
    "object": "comparison",
    "jobs": [
        {
            "id": f"job_01jt0v4c2m8e0t7q5yz3h1kx9{end}",
            "name": name,
            "status": "succeeded",
            "recipe_hash": end * 64,
        }
        for name, end in (("kfac", "b"), ("fwsvd", "c"))
    ],
    "recipe": [{"pointer": "/method/type", "values": ["kfac", "fwsvd"]}],
    "sizes": {
        "params": [{"before": 22713216, "after": 15278976}] * 2,
        "target_params": [{"before": 10616832, "after": 3182592}] * 2,
        "bytes": [{"before": 90852864, "after": 61115904}] * 2,
        "latency_ms": [41.2, 40.8],
    },
    "metrics": [
        {
            "name": "accuracy",
            "higher_is_better": True,
            "values": [0.885, 0.712],
            "intervals": [[0.876, 0.894], [0.699, 0.725]],
            "drops": [0.006, 0.179],
        }
    ],
    "ranks": [{"layer": "bert.encoder.layer.0.attention.self.query", "ranks": [41, 57]}],
    "same_rows": True,
}
