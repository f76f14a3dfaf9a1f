"""Files of a hub on this disk, by commit, shared by all jobs; the least recently used go first."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core import file_lock
from core.hub.refusals import Kind

DISCARDED = ".discarded"
LOCKS = ".locks"


@dataclass(frozen=True)
class HubCache:
    """One folder for each commit, and beside them one lock for each, whose time is its last use."""

    root: Path
    max_bytes: int

    def folder(self, kind: Kind, id: str, commit: str) -> Path:
        return self.root / f"{kind}s" / id.replace("/", "--") / commit

    @contextmanager
    def held(self, folder: Path) -> Iterator[bool]:
        """Whether the folder is this process's alone meanwhile; it does not wait."""
        path = self._lock(folder)
        with file_lock.held(path) as is_ours:
            if is_ours:
                os.utime(path)
            yield is_ours

    def evict(self) -> list[Path]:
        """Remove what was used longest ago, and is not held, until the rest fits; what went."""
        folders = sorted(self.root.glob("*s/*/*"), key=self._last_use)
        sizes = {folder: folder_bytes(folder) for folder in folders}
        excess = sum(sizes.values()) - self.max_bytes
        evicted = []
        for folder in folders:
            if excess <= 0:
                break
            with self.held(folder) as held:
                if held and folder.is_dir():
                    self._discard(folder)
                    excess -= sizes[folder]
                    evicted.append(folder)
        return evicted

    def _last_use(self, folder: Path) -> float:
        lock = self._lock(folder)
        return lock.stat().st_mtime if lock.exists() else 0.0

    def _lock(self, folder: Path) -> Path:
        return self.root / LOCKS / "--".join(folder.relative_to(self.root).parts)

    def _discard(self, folder: Path) -> None:
        """Rename, then remove: nothing is ever seen half removed."""
        bin = self.root / DISCARDED
        bin.mkdir(exist_ok=True)
        folder.rename(bin / secrets.token_hex(8))
        shutil.rmtree(bin, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
