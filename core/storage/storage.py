"""What storage promises: files under keys, and a key is visible only when its file is whole.

Refusals:

InvalidKey (ValueError)
FileNotFoundError          no such key
StorageUnavailable         the storage did not answer, or refused: the same may work later
└── StorageFull            it has no room
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

KEY = re.compile(r"^[^/\\\x00-\x1f\x7f]+(/[^/\\\x00-\x1f\x7f]+)*$")
LONGEST_KEY = 600


class InvalidKey(ValueError):
    """The key is absolute, climbs with ``..``, is too long, or holds a backslash or control."""


class StorageUnavailable(Exception):
    """Nothing is wrong with what was asked; its text, in plain words, names no address."""


class StorageFull(StorageUnavailable):
    """There is no room for what should be stored, or for a local copy of it."""


def checked(key: str) -> str:
    """The key itself, if it can only name something inside the storage."""
    if (
        len(key) > LONGEST_KEY
        or not KEY.match(key)
        or key.startswith(".")
        or ".." in key.split("/")
    ):
        raise InvalidKey(f"not a storage key: {key[:80]!r}")
    return key


class Storage(Protocol):
    """Datasets, artifacts and spectra; workers and API see the same keys.

    Every method may raise StorageUnavailable.
    """

    def check(self) -> None:
        """Returns, soon, if files can be stored now."""

    def put_file(self, key: str, source: Path) -> None:
        """Copy a file to a key; the key appears at once and whole, or not at all."""

    def open(self, key: str) -> BinaryIO:
        """A seekable stream of the key's bytes; FileNotFoundError when there is none."""

    def path(self, key: str) -> Path:
        """A local file with the key's bytes, to be read at once and never written.

        FileNotFoundError when there is none. For what must stay there, see `place`.
        """

    def place(self, key: str, target: Path) -> None:
        """Give the caller a file of its own, to be read and never written: a link where the bytes
        lie on the same disk. It appears whole; FileNotFoundError when there is no such key."""

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Bytes; FileNotFoundError when there is none."""

    def list_prefix(self, prefix: str) -> Iterator[str]:
        """The keys in this folder, sorted, at any depth."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete this key, or the folder of this name; nothing there is no error."""
