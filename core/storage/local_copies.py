"""Local copies of what lies in a bucket, shared by one host; the least recently used go first."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core import file_lock
from core.storage.disk import appearing, disk_failures, link_or_copy

FILES, LOCKS, INCOMPLETE = "files", "locks", "incomplete"
LOOK_AGAIN_S = 0.1
JUST_USED_S = 600.0
"""A copy that was asked for so lately stays beyond the limit: its reader may not have opened it."""
INTERRUPTED_AFTER_S = 86_400.0
"""A draft this old belonged to a process that died."""

Fetch = Callable[[BinaryIO], None]


@dataclass(frozen=True)
class LocalCopies:
    """One file for each version of a key, and beside it a lock whose time is its last use."""

    root: Path
    max_bytes: int

    def path(self, version: str, fetch: Fetch) -> Path:
        """The copy, fetched if it is not there; whole under its name, or not there."""
        with self._held(version) as copy:
            self._bring(copy, fetch)
        self.evict()
        return copy

    def place(self, version: str, fetch: Fetch, target: Path) -> None:
        """The same as a file of the caller's own."""
        with self._held(version) as copy, disk_failures("the disk"):
            self._bring(copy, fetch)
            link_or_copy(copy, target)
        self.evict()

    def evict(self) -> list[Path]:
        """Remove what was used longest ago, and is in nobody's hands, until the rest fits."""
        copies = sorted((self.root / FILES).glob("*"), key=self._last_use)
        excess = sum(map(_bytes, copies)) - self.max_bytes
        evicted = []
        for copy in copies:
            if excess <= 0 or self._last_use(copy) > time.time() - JUST_USED_S:
                break
            with file_lock.held(self._lock(copy)) as is_ours:
                if is_ours:
                    excess -= _bytes(copy)
                    copy.unlink(missing_ok=True)
                    evicted.append(copy)
        return evicted

    @contextmanager
    def _held(self, version: str) -> Iterator[Path]:
        """Wait for whoever fetches the same, and keep the copy from being evicted meanwhile."""
        copy = self.root / FILES / hashlib.sha256(version.encode()).hexdigest()
        lock = self._lock(copy)
        while True:
            with file_lock.held(lock) as is_ours:
                if is_ours:
                    os.utime(lock)
                    yield copy
                    return
            time.sleep(LOOK_AGAIN_S)

    def _bring(self, copy: Path, fetch: Fetch) -> None:
        if copy.exists():
            return
        with disk_failures("the disk"):
            drafts = self.root / INCOMPLETE
            for folder in (copy.parent, drafts):
                folder.mkdir(parents=True, exist_ok=True)
            _remove_interrupted(drafts)
            with appearing(copy, drafts) as file:
                fetch(file)

    def _lock(self, copy: Path) -> Path:
        return self.root / LOCKS / copy.name

    def _last_use(self, copy: Path) -> float:
        with suppress(FileNotFoundError):
            return self._lock(copy).stat().st_mtime
        return 0.0


def _bytes(copy: Path) -> int:
    with suppress(FileNotFoundError):
        return copy.stat().st_size
    return 0


def _remove_interrupted(drafts: Path) -> None:
    for draft in drafts.iterdir():
        with suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - INTERRUPTED_AFTER_S:
                draft.unlink()
