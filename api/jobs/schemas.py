from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.database.states import shown_status
from core.database.tables import Job as JobTable
from core.database.tables import (
    JobAttempt,
    JobChangedAnswer,
    JobEvent,
    JobLayer,
    JobMetric,
    JobStage,
)
from core.recipe.config import Config
from core.recipe.events import ChangedAnswer as ChangedAnswerReport
from core.recipe.events import LayerReport, Phase
from core.recipe.recipe import LabelKey, LabelValue

Status = Literal[
    "queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
SUBRESOURCES = (
    *("stages", "layers", "metrics", "changed-answers", "attempts", "events", "logs"),
    "artifacts",
)


class View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)


class Progress(View):
    """How far the running stage is."""

    done: int
    total: int
    unit: str
    eta_s: float | None = None


class JobError(View):
    """Why a job failed, and what to do."""

    stage: str | None = None
    code: str
    message: str
    hint: str | None = None
    retryable: bool = False
    pointer: str | None = None
    """The recipe's field to change, where one is to blame."""


class Job(View):
    """A compression job."""

    object: Literal["job"] = "job"
    id: str
    name: str
    labels: dict[str, str]
    status: Status
    priority: int
    stage: str | None
    """The stage at work, or the last one that was."""
    progress: dict[str, Any] | None
    """The stage's {done, total, unit, eta_s}."""
    recipe: dict[str, Any]
    recipe_hash: str
    sweep_id: str | None
    """The sweep that it is a point of."""
    result: dict[str, Any] | None
    """metrics, params, bytes, latency; once it has succeeded."""
    error: JobError | None
    artifact_dropped_at: datetime | None
    """When the project's retention policy dropped the files; the numbers stay."""
    attempts: int
    crashes: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]

    @classmethod
    def of(cls, row: JobTable) -> "Job":
        own = f"/v1/jobs/{row.id}"
        columns = {
            name: getattr(row, name)
            for name in cls.model_fields
            if name not in {"object", "status", "links"}
        }
        links = {"self": own} | {noun: f"{own}/{noun}" for noun in SUBRESOURCES}
        return cls(status=shown_status(row.state, row.requested), links=links, **columns)


class JobChanges(Config):
    """A JSON merge patch (RFC 7396). Null takes a field, or one label, back."""

    name: str | None = Field(default=None, max_length=200)
    """The recipe keeps the name that it was submitted with."""
    labels: dict[LabelKey, LabelValue | None] | None = Field(default=None, max_length=64)
    """Those named are set or, with null, removed; the others stay."""
    priority: int | None = Field(default=None, ge=-100, le=100)
    """Higher first; counts at once for a queued job. That of a finished job is fixed."""


class Stage(View):
    """One stage of a job."""

    object: Literal["stage"] = "stage"
    stage: str
    state: Literal["pending", "running", "done", "skipped"]
    source: str | None
    """computed, cache (another job's work), workspace (an earlier attempt's), skipped."""
    done: int | None
    total: int | None
    unit: str | None
    eta_s: float | None
    seconds: float | None
    summary: dict[str, Any] | None
    fingerprint: str | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobStage) -> "Stage":
        return cls.model_validate(row)


class Layer(LayerReport):
    """One target layer of the result: its rank, its spectrum, what was lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Layer")

    object: Literal["layer"] = "layer"
    position: int

    @classmethod
    def of(cls, row: JobLayer) -> "Layer":
        return cls(position=row.position, **row.report)


class ChangedAnswer(ChangedAnswerReport):
    """A row that the dense model and the result answer differently."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="ChangedAnswer")

    object: Literal["changed_answer"] = "changed_answer"
    position: int

    @classmethod
    def of(cls, row: JobChangedAnswer) -> "ChangedAnswer":
        return cls(position=row.position, **row.answer)


class Metric(View):
    """One metric on the split that was evaluated. Drops are paired: both models, the same rows."""

    object: Literal["metric"] = "metric"
    phase: Phase
    name: str
    value: float
    interval: tuple[float, float]
    n: int
    drop: float | None
    drop_interval: tuple[float, float] | None

    @classmethod
    def of(cls, row: JobMetric) -> "Metric":
        paired = row.drop_low is not None and row.drop_high is not None
        return cls.model_validate(
            {
                "phase": row.phase,
                "name": row.name,
                "value": row.value,
                "interval": (row.low, row.high),
                "n": row.n,
                "drop": row.drop,
                "drop_interval": (row.drop_low, row.drop_high) if paired else None,
            }
        )


class Attempt(View):
    """One claim of the job by a worker."""

    object: Literal["attempt"] = "attempt"
    epoch: int
    owner: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    """succeeded, failed, cancelled, paused, handed_over, crashed, lease_lost,
    storage_failed."""
    detail: str | None

    @classmethod
    def of(cls, row: JobAttempt) -> "Attempt":
        return cls.model_validate(row)


class LogLine(View):
    """Something worth a person's notice; at the end of a failed job, what it failed of."""

    object: Literal["log_line"] = "log_line"
    seq: int
    """Of the event; lines have holes where other events lie."""
    epoch: int
    level: Literal["info", "warning", "error"]
    stage: str | None
    message: str
    created_at: datetime

    @classmethod
    def of(cls, row: JobEvent) -> "LogLine":
        return cls(
            seq=row.seq,
            epoch=row.epoch,
            level=row.data.get("level", "error"),
            stage=row.data.get("stage"),
            message=row.data["message"],
            created_at=row.created_at,
        )

    def __str__(self) -> str:
        """One line of text: time, level, stage, message."""
        moment = self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        where = f"{self.stage}: " if self.stage else ""
        return f"{moment} {self.level.upper():7} {where}{' '.join(self.message.split())}"


class Event(View):
    """Something that happened to a job."""

    object: Literal["event"] = "event"
    seq: int
    """1, 2, 3 … within the job, without holes."""
    epoch: int
    """The attempt; 0 before the first."""
    type: str
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: JobEvent) -> "Event":
        return cls.model_validate(row)
