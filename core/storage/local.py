"""Storage in a folder. Files appear by rename after fsync, so a crash leaves whole files only."""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.storage.storage import checked

INCOMPLETE = ".incomplete"
"""A folder beside the keys that no key can name: where files wait to be whole."""


class LocalStorage:
    """Keys are paths under a root folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incomplete = root / INCOMPLETE
        self._incomplete.mkdir(parents=True, exist_ok=True)

    def put_file(self, key: str, source: Path) -> None:
        target = self.path(key)
        temporary = self._incomplete / secrets.token_hex(16)
        try:
            _copy_and_sync(source, temporary)
            _make_folders(target.parent, self._root)
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)

    def open(self, key: str) -> BinaryIO:
        return self.path(key).open("rb")

    def path(self, key: str) -> Path:
        return self._root / checked(key)

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def size(self, key: str) -> int:
        return self.path(key).stat().st_size

    def list_prefix(self, prefix: str) -> Iterator[str]:
        files = (path for path in self.path(prefix).rglob("*") if path.is_file())
        yield from sorted(path.relative_to(self._root).as_posix() for path in files)

    def delete_prefix(self, prefix: str) -> None:
        target = self.path(prefix)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _copy_and_sync(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


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
