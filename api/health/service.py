"""Looking at each part the service needs, briefly."""

from collections.abc import Callable

import structlog
from sqlalchemy import text

from api.health.schemas import Check, Readiness
from core.database.sessions import Sessions
from core.jobs.doorbell import producer
from core.settings import Settings
from core.storage.storage import Storage

PATIENCE_S = 1.0

log = structlog.get_logger(__name__)


def readiness(settings: Settings, sessions: Sessions, storage: Storage) -> Readiness:
    checks = {
        "database": _checked(lambda: _ask_database(sessions)),
        "storage": _checked(storage.check),
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


def _ping_broker(settings: Settings) -> None:
    """As the doorbell reaches it; opening a channel pings the server."""
    with producer(settings).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_S)
        connection.channel().close()
