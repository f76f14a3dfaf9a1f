"""Who is told, and what was sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.database.tables.base import ProjectOwned, Table, now


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
