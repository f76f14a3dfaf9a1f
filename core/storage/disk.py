"""Files on this disk: whole under their names or not there, and its failures in plain words."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.storage.storage import StorageFull, StorageUnavailable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_OURS = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""What is wrong with a name, not with the disk."""


def is_full(error: OSError) -> bool:
    return error.errno in NO_ROOM


@contextmanager
def disk_failures(what: str) -> Iterator[None]:
    """A disk that cannot be read or written is storage that is away; `what` names it."""
    try:
        yield
    except NOT_OURS:
        raise
    except OSError as error:
        if is_full(error):
            raise StorageFull(f"{what} is full") from error
        raise StorageUnavailable(f"{what} failed: {error.strerror}") from error


@contextmanager
def appearing(target: Path, drafts: Path) -> Iterator[BinaryIO]:
    """A file to write, synced and renamed to `target` at the end; an error leaves nothing."""
    draft = drafts / secrets.token_hex(16)
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Whole under its name; what was there is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        try:
            os.link(source, draft)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, draft)
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
