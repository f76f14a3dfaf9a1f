"""Every table. Each row belongs to a project; the job's row is the truth about the job."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.database.states import JobState, Requested


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in and out, on SQLite too (which stores none)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    return datetime.now(UTC)


def stored(states: type[StrEnum]) -> Enum:
    """A StrEnum as its value in a plain column: a new state needs no migration."""
    return Enum(
        states,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own name and shape)
        datetime: UtcDateTime,
        dict[str, Any]: Json,
        list[Any]: Json,
        JobState: stored(JobState),
        Requested: stored(Requested),
    }


class Project(Table):
    __tablename__ = "project"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)


class ProjectOwned:
    """Mixed into every table but Project."""

    project_id: Mapped[str] = mapped_column(ForeignKey("project.id"), index=True, sort_order=-1)


class ApiKey(ProjectOwned, Table):
    """A bearer key: only its SHA-256 is stored."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Dataset(ProjectOwned, Table):
    __tablename__ = "dataset"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    format: Mapped[str] = mapped_column(String(16))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(BigInteger)
    columns: Mapped[list[Any]]
    """[{"name", "type", "distinct"?…}]: the preview's schema."""
    storage_key: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(default=now)


class UploadedModel(ProjectOwned, Table):
    """A Hugging Face folder that was uploaded: safetensors, config and tokenizer files."""

    __tablename__ = "uploaded_model"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    family: Mapped[str] = mapped_column(String(64))
    params: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    files: Mapped[list[Any]]
    """[{"name", "bytes", "sha256"}]."""
    storage_prefix: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(default=now)


class HubToken(ProjectOwned, Table):
    """A project's token for private models and datasets of the hub, encrypted."""

    __tablename__ = "hub_token"
    __table_args__ = (UniqueConstraint("project_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    encrypted: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Retention(ProjectOwned, Table):
    """How long a project keeps what its finished jobs left; null is for ever."""

    __tablename__ = "retention"
    __table_args__ = (UniqueConstraint("project_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    artifacts_days: Mapped[float | None]
    events_days: Mapped[float | None]
    workspaces_days: Mapped[float]
    cache_days: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class WebhookEndpoint(ProjectOwned, Table):
    """An address that is told what happens to the project's jobs."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(String(200), default="")
    events: Mapped[list[Any]]
    encrypted_secret: Mapped[str] = mapped_column(Text)
    disabled_at: Mapped[datetime | None]
    disabled_because: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class WebhookDelivery(ProjectOwned, Table):
    """One message to one endpoint: what is sent, how often it was tried, what came of it."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_due", "state", "next_at"),
        Index("ix_webhook_delivery_list", "endpoint_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    """The message's own, the same in every attempt: a receiver knows a double by it."""
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    job_id: Mapped[str | None] = mapped_column(String(40))
    """No foreign key: a delivery outlives its job."""
    type: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    """pending, delivered, failed."""
    attempt_count: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[list[Any]] = mapped_column(default=list)
    """[{"at", "status", "error", "answer", "seconds"}]."""
    next_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


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
    max_runtime_s: Mapped[int] = mapped_column(Integer)
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


class IdempotencyRecord(ProjectOwned, Table):
    """The answer to a POST with an Idempotency-Key; status 0 while it is in flight."""

    __tablename__ = "idempotency_record"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    key: Mapped[str] = mapped_column(String(255))
    request_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer, default=0)
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class CacheEntry(ProjectOwned, Table):
    """An adapted model or statistics in a project's cache folder."""

    __tablename__ = "cache_entry"
    __table_args__ = (UniqueConstraint("project_id", "stage", "fingerprint"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    stage: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(600))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime] = mapped_column(default=now)


class SpectraRecord(ProjectOwned, Table):
    """Spectra of one model under one method, kept: plans read them without a worker."""

    __tablename__ = "spectra"
    __table_args__ = (UniqueConstraint("project_id", "fingerprint"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    fingerprint: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(600))
    created_at: Mapped[datetime] = mapped_column(default=now)
