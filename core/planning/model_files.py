"""The files of a Hugging Face folder, wherever they lie: on this disk, or behind an address."""

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from core.planning.headers import refused, shown

SETTLED_NS = 2_000_000_000
"""A file changed later than this ago may change again without its time stamp showing it."""


class ModelFiles(Protocol):
    """Files by plain name, none of them inside a sub-folder."""

    @property
    def names(self) -> frozenset[str]: ...

    def size(self, name: str) -> int:
        """Bytes."""

    def read(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start` on, fewer only where the file ends."""

    def sha256(self, name: str) -> str: ...


class LocalFiles:
    """Files on this disk."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self.names = frozenset(paths)

    def size(self, name: str) -> int:
        return self._paths[name].stat().st_size

    def read(self, name: str, start: int, length: int) -> bytes:
        with self._paths[name].open("rb") as file:
            file.seek(start)
            return file.read(length)

    def sha256(self, name: str) -> str:
        return content_hash(self._paths[name])


def files_in(folder: Path) -> LocalFiles:
    """The files of a folder. Raises ModelError where it is none, or holds a link."""
    if not folder.is_dir():
        raise refused("the model's path is not a folder")
    entries = list(folder.iterdir())
    link = next(filter(Path.is_symlink, entries), None)
    if link is not None:
        raise refused(f"{shown(link.name)} is a link", hint="copy the files themselves: cp -rL")
    return LocalFiles({entry.name: entry for entry in entries if entry.is_file()})


def content_hash(path: Path) -> str:
    """The SHA-256 of a file, remembered for as long as the file looks untouched."""
    status = path.stat()
    if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
        return _sha256(path)
    return settled_hash(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def settled_hash(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
