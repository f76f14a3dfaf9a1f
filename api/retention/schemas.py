from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.jobs.retention import Policy
from core.recipe.config import Config

Days = Annotated[float, Field(gt=0, le=36_500)]
DaysOrNone = Annotated[float, Field(ge=0, le=36_500)]

POLICY_EXAMPLE: dict[str, Any] = {
    "object": "retention",
    "artifacts_days": 90,
    "events_days": 365,
    "workspaces_days": 1,
    "cache_days": None,
}
PREVIEW_EXAMPLE: dict[str, Any] = {
    "object": "retention_preview",
    "policy": POLICY_EXAMPLE,
    "artifacts": {"count": 1, "bytes": 61_203_117},
    "events": {"count": 4180},
    "workspaces": {"count": 0, "bytes": 0},
    "cache": {"count": 2, "bytes": 183_500_800},
    "jobs": [
        {
            "id": "job_01k2x8w5rj5v0q9t3m4n6p7r8s",
            "name": "sentiment-30",
            "finished_at": "2026-01-14T11:02:17Z",
            "bytes": 61_203_117,
        }
    ],
}


class RetentionPolicy(Config):
    """How long to keep what finished jobs left, in days; null is for ever."""

    artifacts_days: Days | None = None
    """Files of artifacts, from the job's end. Metrics, layers and reports' numbers stay."""
    events_days: Days | None = None
    """A job's events but for its changes of state, from the job's end."""
    workspaces_days: DaysOrNone = 1
    """What a failed or cancelled job needs to go on where it stopped, from its end."""
    cache_days: Days | None = None
    """Adapted models and statistics, from their last use; `cache_max_bytes` holds in any case."""

    @property
    def policy(self) -> Policy:
        return Policy(**self.model_dump())


class RetentionView(BaseModel):
    """The project's policy."""

    model_config = ConfigDict(title="Retention", from_attributes=True)

    object: Literal["retention"] = "retention"
    artifacts_days: float | None
    events_days: float | None
    workspaces_days: float
    cache_days: float | None


class Stored(BaseModel):
    """Things of one kind, and the bytes that they take."""

    count: int
    bytes: int


class Rows(BaseModel):
    count: int


class DueJob(BaseModel):
    """A job whose artifact has had its time."""

    id: str
    name: str
    finished_at: datetime
    bytes: int


class RetentionPreview(BaseModel):
    """What a policy would drop now."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["retention_preview"] = "retention_preview"
    policy: RetentionView
    artifacts: Stored
    events: Rows
    workspaces: Stored
    """On the disk of the process that answers."""
    cache: Stored
    jobs: list[DueJob]
    """Whose artifacts go first, at most 100."""
