"""When a worker has done enough: it leaves by itself between two jobs, to be started anew."""

import resource
import sys
from dataclasses import dataclass

from core.settings import Settings

RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass
class Wear:
    """Of the process that supervises, not of the runners: each of those is new for its job."""

    jobs: int = 0

    def reason_to_leave(self, settings: Settings) -> str | None:
        """None: it goes on."""
        if settings.worker_max_jobs and self.jobs >= settings.worker_max_jobs:
            return f"it has done {self.jobs} jobs"
        held = peak_memory()
        if settings.worker_max_memory_bytes and held > settings.worker_max_memory_bytes:
            return f"it has held {held:,} bytes of memory"
        return None


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
