"""The doorbell: a Celery message that says which queue has work, never which job.

The queued row is the truth; a message lost, doubled or late is harmless.
"""

import structlog
from celery import Celery

from core.settings import Settings

log = structlog.get_logger(__name__)

WORK = "work"
"""The name of the one Celery task."""
PATIENCE_S = 0.5
"""How long a ring waits for the broker; once more when a kept connection turns out dead."""
ENOUGH_RINGS = 16
"""With so many unanswered in a queue, all its workers are busy or away."""


def producer(settings: Settings) -> Celery:
    """A Celery app that can only send."""
    app = Celery("rankwise-doorbell", broker=settings.resolved_redis_url, set_as_current=False)
    app.conf.update(
        broker_connection_timeout=PATIENCE_S,
        broker_connection_retry=False,
        broker_transport_options={
            "socket_timeout": PATIENCE_S,
            "socket_connect_timeout": PATIENCE_S,
            "max_retries": 1,
            "interval_start": 0,
        },
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
    )
    return app


class Doorbell:
    """Rings after a commit. A broker that is away delays the job until the dispatcher's ring."""

    def __init__(self, settings: Settings) -> None:
        self._app = producer(settings)
        self._app.finalize()
        self._app.connection_for_write().transport  # noqa: B018 (imports now, not at the first ring)

    def ring(self, queue: str) -> bool:
        """True if the broker took the message, or already holds enough of them."""
        try:
            with self._app.producer_or_acquire() as sender:
                if sender.channel.queue_declare(queue).message_count < ENOUGH_RINGS:
                    self._app.send_task(WORK, [queue], queue=queue, producer=sender, retry=False)
        except Exception as error:
            log.warning("doorbell.unanswered", queue=queue, error=str(error))
            return False
        return True
