"""What a project has of its own: keys, tokens, rules, and answers it was given."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.database.tables.base import ProjectOwned, Table, now


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
