"""Looking at each part the service needs, briefly."""

import tempfile
from collections.abc import Callable

import structlog
from sqlalchemy import text

from api.health.schemas import Check, Readiness
from core.database.sessions import Sessions
from core.jobs.doorbell import producer
from core.settings import Settings

PATIENCE_S = 1.0

log = structlog.get_logger(__name__)


def readiness(settings: Settings, sessions: Sessions) -> Readiness:
    checks = {
        "database": _checked(lambda: _ask_database(sessions)),
        "storage": _checked(lambda: _write_to_storage(settings)),
        "broker": _checked(lambda: _ping_broker(settings)),
    }
    ready = all(check.ok for check in checks.values())
    return Readiness.model_validate({"status": "ready" if ready else "not_ready", "checks": checks})


def _checked(look: Callable[[], object]) -> Check:
    """The kind of error is told to anyone, its text, which may hold an address, to the log."""
    try:
        look()
    except Exception as error:
        log.warning("not ready", error=str(error))
        return Check(ok=False, detail=type(error).__name__)
    return Check(ok=True)


def _ask_database(sessions: Sessions) -> None:
    with sessions() as session:
        session.execute(text("SELECT 1"))


def _write_to_storage(settings: Settings) -> None:
    with tempfile.TemporaryFile(dir=settings.storage_dir) as file:
        file.write(b"ready")
        file.flush()


def _ping_broker(settings: Settings) -> None:
    """As the doorbell reaches it; opening a channel pings the server."""
    with producer(settings).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_S)
        connection.channel().close()
