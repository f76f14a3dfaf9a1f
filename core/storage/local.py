"""Storage in a folder. Files appear by rename after fsync, so a crash leaves whole files only."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.storage.disk import appearing, disk_failures, link_or_copy
from core.storage.storage import checked

INCOMPLETE = ".incomplete"
"""A folder beside the keys that no key can name: where files wait to be whole."""
DISK = "the storage's disk"


class LocalStorage:
    """Keys are paths under a root folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incomplete = root / INCOMPLETE
        self._incomplete.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        with disk_failures(DISK), tempfile.TemporaryFile(dir=self._incomplete) as file:
            file.write(b"ready")
            file.flush()

    def put_file(self, key: str, source: Path) -> None:
        target = self._file(key)
        with disk_failures(DISK):
            with source.open("rb") as reader, appearing(target, self._incomplete) as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
                _make_folders(target.parent, self._root)
            _sync_folder(target.parent)

    def open(self, key: str) -> BinaryIO:
        with disk_failures(DISK):
            return self._file(key).open("rb")

    def path(self, key: str) -> Path:
        path = self._file(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        return path

    def place(self, key: str, target: Path) -> None:
        with disk_failures("the disk"):
            link_or_copy(self.path(key), target)

    def exists(self, key: str) -> bool:
        return self._file(key).is_file()

    def size(self, key: str) -> int:
        with disk_failures(DISK):
            return self._file(key).stat().st_size

    def list_prefix(self, prefix: str) -> Iterator[str]:
        files = (path for path in self._file(prefix).rglob("*") if path.is_file())
        yield from sorted(path.relative_to(self._root).as_posix() for path in files)

    def delete_prefix(self, prefix: str) -> None:
        target = self._file(prefix)
        with disk_failures(DISK):
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._root / checked(key)


def _make_folders(folder: Path, root: Path) -> None:
    """Make missing folders, each entry synced into the folder above it."""
    if folder.is_dir() or folder == root:
        return
    _make_folders(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
