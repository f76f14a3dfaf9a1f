"""What an attempt may take of time, memory and disk, and what becomes of one that takes more.

Beyond the recipe's own limit the job fails: it would take as much the next time. Beyond the
worker's limit the attempt is a crash, counted as such: another worker may have more.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from core.recipe import Limits
from core.settings import Settings
from worker.verdict import Crashed, Failed

Resource = Literal["memory", "disk"]
BEYOND: dict[Resource, dict[str, str]] = {
    "memory": {"code": "max_memory_exceeded", "pointer": "/limits/max_memory_bytes"},
    "disk": {"code": "max_disk_exceeded", "pointer": "/limits/max_disk_bytes"},
}
LOOK_S = 1.0


@dataclass(frozen=True)
class Allowance:
    """Bytes of one resource; 0 is any number."""

    by_recipe: int
    by_worker: int

    @property
    def is_bounded(self) -> bool:
        return bool(self.by_recipe or self.by_worker)


class Bounds:
    """Looked at by the supervisor's loop; measures at most once a second, and only if asked to."""

    def __init__(
        self, limits: Limits, settings: Settings, *, process_group: int, workspace: Path
    ) -> None:
        self._limits = limits
        self._process_group = process_group
        self._workspace = workspace
        self._memory = Allowance(limits.max_memory_bytes or 0, settings.job_max_memory_bytes)
        self._disk = Allowance(limits.max_disk_bytes or 0, settings.job_max_disk_bytes)
        self._ends_at = time.monotonic() + limits.max_runtime_s
        self._look_at = time.monotonic() if self._measures else float("inf")

    @property
    def wake_at(self) -> float:
        """By `time.monotonic`: when there is something to look at again."""
        return min(self._ends_at, self._look_at)

    def overrun(self, stage: str | None) -> Failed | Crashed | None:
        """What becomes of the attempt; None while it keeps within its limits."""
        now = time.monotonic()
        if now >= self._ends_at:
            return self._out_of_time(stage)
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_S
        return self._overdrawn("memory", self._memory, stage) or self._overdrawn(
            "disk", self._disk, stage
        )

    @property
    def _measures(self) -> bool:
        return self._memory.is_bounded or self._disk.is_bounded

    def _overdrawn(
        self, resource: Resource, allowance: Allowance, stage: str | None
    ) -> Failed | Crashed | None:
        if not allowance.is_bounded:
            return None
        taken = self._taken(resource)
        if allowance.by_recipe and taken > allowance.by_recipe:
            return _beyond_recipe(resource, taken, allowance.by_recipe, stage)
        if allowance.by_worker and taken > allowance.by_worker:
            bound = _size(allowance.by_worker)
            return Crashed(f"the run took {_size(taken)} of {resource}; its worker allows {bound}")
        return None

    def _taken(self, resource: Resource) -> int:
        if resource == "memory":
            return memory_of_group(self._process_group)
        return bytes_under(self._workspace)

    def _out_of_time(self, stage: str | None) -> Failed:
        return Failed(
            {
                "stage": stage,
                "code": "max_runtime_exceeded",
                "message": f"the run took longer than {self._limits.max_runtime_s:g} s "
                "and was ended",
                "hint": "raise limits.max_runtime_s, or retry: finished stages are not run again",
                "retryable": True,
                "pointer": "/limits/max_runtime_s",
            }
        )


def memory_of_group(leader: int) -> int:
    """Bytes that the leader and what it started hold in memory, files mapped from disk not counted:
    the kernel takes those back by itself."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(leader)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = each.memory_info()
                total += memory.rss - getattr(memory, "shared", 0)
    return total


def bytes_under(folder: Path) -> int:
    """Of all files in it, at any depth, each once however many names it has; what goes away
    meanwhile counts for nothing."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def _beyond_recipe(resource: Resource, taken: int, bound: int, stage: str | None) -> Failed:
    return Failed(
        {
            "stage": stage,
            "message": f"the run took {_size(taken)} of {resource} and may take {_size(bound)}",
            "hint": f"raise limits.max_{resource}_bytes, or make the run smaller: a smaller batch, "
            "shorter texts",
            "retryable": True,
        }
        | BEYOND[resource]
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
