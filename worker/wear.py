"""When a worker has done enough: it leaves by itself between two jobs, to be started anew."""

from dataclasses import dataclass

import psutil

from core.settings import Settings


@dataclass
class Wear:
    """Of the process that supervises, not of the runners: each of those is new for its job."""

    jobs: int = 0

    def reason_to_leave(self, settings: Settings) -> str | None:
        """None: it goes on."""
        if settings.worker_max_jobs and self.jobs >= settings.worker_max_jobs:
            return f"it has done {self.jobs} jobs"
        held = psutil.Process().memory_info().rss
        if settings.worker_max_memory_bytes and held > settings.worker_max_memory_bytes:
            return f"it holds {held:,} bytes of memory"
        return None
