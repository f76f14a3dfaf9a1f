from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One part the service needs."""

    ok: bool
    detail: str | None = None


class Readiness(BaseModel):
    """Whether the service can take a job now."""

    status: Literal["ready", "not_ready"]
    checks: dict[Literal["database", "storage", "broker"], Check]


READY = {
    "status": "ready",
    "checks": {"database": {"ok": True}, "storage": {"ok": True}, "broker": {"ok": True}},
}
NOT_READY = {
    "status": "not_ready",
    "checks": {
        "database": {"ok": True},
        "storage": {"ok": True},
        "broker": {"ok": False, "detail": "ConnectionError"},
    },
}
