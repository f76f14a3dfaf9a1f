from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.jobs.schemas import Status


class StoredBytes(BaseModel):
    """What the project keeps, now."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    datasets: int
    models: int
    artifacts: int
    cache: int
    """Adapted and pruned models and statistics, which are dropped when room is needed."""


class Usage(BaseModel):
    """What a project did in a span of time, and what it stores."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["usage"] = "usage"
    start: datetime
    """Included."""
    end: datetime
    """Not included."""
    jobs: dict[Status, int]
    """Jobs submitted in the span, by what they are now."""
    compute_seconds: float
    """Of all attempts, as far as they lie in the span; those under way count until now."""
    params_saved: int
    """Parameters of the whole models, before less after, of jobs that succeeded in the span."""
    stored_bytes: StoredBytes


EXAMPLE: dict[str, Any] = {
    "object": "usage",
    "start": "2026-05-01T00:00:00Z",
    "end": "2026-06-01T00:00:00Z",
    "jobs": {
        "queued": 2,
        "running": 1,
        "pausing": 0,
        "paused": 0,
        "cancelling": 0,
        "succeeded": 41,
        "failed": 3,
        "cancelled": 1,
    },
    "compute_seconds": 18240.512,
    "params_saved": 304656384,
    "stored_bytes": {
        "datasets": 73400320,
        "models": 0,
        "artifacts": 2506317824,
        "cache": 1073741824,
    },
}
