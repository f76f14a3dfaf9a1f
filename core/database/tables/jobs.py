"""Jobs, and everything that is recorded of them. The job's row is the truth about the job."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.database.states import JobState, Requested
from core.database.tables.base import ProjectOwned, Table, now


class Sweep(ProjectOwned, Table):
    """Jobs that were submitted together, to choose from."""

    __tablename__ = "sweep"
    __table_args__ = (Index("ix_sweep_list", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    spec: Mapped[dict[str, Any]]
    """core.recipe.sweep.Sweep."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Job(ProjectOwned, Table):
    """The queue is this table: a queued row is work, whatever the broker remembers."""

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_claim", "queue", "state", "priority", "created_at"),
        Index("ix_job_lease", "state", "lease_until"),
        Index("ix_job_list", "project_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    recipe: Mapped[dict[str, Any]]
    recipe_hash: Mapped[str] = mapped_column(String(64), index=True)
    sweep_id: Mapped[str | None] = mapped_column(String(40), index=True)
    """No foreign key: SQLite could not give the column up again."""
    inputs: Mapped[dict[str, Any]]
    """Resolved at submit: {"model_path", "model_digest", "dataset_path" | "dataset_key", …}."""
    queue: Mapped[str] = mapped_column(String(64), default="default")
    priority: Mapped[int] = mapped_column(Integer, default=0)
    """Higher first."""

    state: Mapped[JobState] = mapped_column(default=JobState.QUEUED)
    requested: Mapped[Requested | None]
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    """The fencing token: +1 per claim; a write with an older one changes nothing."""
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    max_crashes: Mapped[int] = mapped_column(Integer, default=3)
    rung_at: Mapped[datetime | None]
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """The seq of the job's newest event."""

    stage: Mapped[str | None] = mapped_column(String(64))
    progress: Mapped[dict[str, Any] | None]
    """The running stage's newest {done, total, unit, eta_s}."""
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    """{stage, code, message, hint, retryable, pointer}."""
    artifact_prefix: Mapped[str | None] = mapped_column(String(300))
    """Storage prefix of the published artifact, moved under the guard: jobs/<id>/e<epoch>."""
    artifact_sha256: Mapped[str | None] = mapped_column(String(64))
    artifact_dropped_at: Mapped[datetime | None]
    """Its files had their time; the numbers stay."""
    finished_epoch: Mapped[int | None] = mapped_column(Integer)

    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobOwned(ProjectOwned):
    job_id: Mapped[str] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, sort_order=-2
    )


class JobAttempt(JobOwned, Table):
    """One claim of the job, from its claim to its end."""

    __tablename__ = "job_attempt"

    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(32))
    """succeeded, failed, cancelled, paused, handed_over, crashed, lease_lost,
    storage_failed."""
    detail: Mapped[str | None] = mapped_column(Text)


class JobStage(JobOwned, Table):
    __tablename__ = "job_stage"

    stage: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16))
    """pending, running, done, skipped."""
    epoch: Mapped[int | None] = mapped_column(Integer)
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    source: Mapped[str | None] = mapped_column(String(16))
    done: Mapped[int | None] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    unit: Mapped[str | None] = mapped_column(String(32))
    eta_s: Mapped[float | None]
    seconds: Mapped[float | None]
    summary: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobEvent(JobOwned, Table):
    """Append-only history; seq is given under the guard, so it has no holes and no doubles."""

    __tablename__ = "job_event"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer)
    type: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class JobLayer(JobOwned, Table):
    """core.recipe.events.LayerReport, one row per target layer."""

    __tablename__ = "job_layer"

    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(300))
    report: Mapped[dict[str, Any]]


class JobChangedAnswer(JobOwned, Table):
    """core.recipe.events.ChangedAnswer, with texts of the data: gone with the job."""

    __tablename__ = "job_changed_answer"

    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    answer: Mapped[dict[str, Any]]


class JobMetric(JobOwned, Table):
    """Outlives the artifact's files."""

    __tablename__ = "job_metric"

    phase: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    n: Mapped[int] = mapped_column(Integer)
    drop: Mapped[float | None]
    drop_low: Mapped[float | None]
    drop_high: Mapped[float | None]


class Artifact(JobOwned, Table):
    """One file of a published artifact."""

    __tablename__ = "artifact"

    name: Mapped[str] = mapped_column(String(300), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer)
    storage_key: Mapped[str] = mapped_column(String(600))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
