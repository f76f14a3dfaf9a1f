"""What storage promises: files under keys, and a key is visible only when its file is whole."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

KEY = re.compile(r"^[^/\\\x00-\x1f\x7f]+(/[^/\\\x00-\x1f\x7f]+)*$")
LONGEST_KEY = 600


class InvalidKey(ValueError):
    """The key is absolute, climbs with ``..``, is too long, or holds a backslash or control."""


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
    """Datasets, artifacts and spectra; workers and API see the same keys."""

    def put_file(self, key: str, source: Path) -> None:
        """Copy a file to a key; the key appears at once and whole, or not at all."""

    def open(self, key: str) -> BinaryIO:
        """A seekable stream of the key's bytes; FileNotFoundError when there is none."""

    def path(self, key: str) -> Path:
        """A local file with the key's bytes, to be read and never written."""

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Bytes; FileNotFoundError when there is none."""

    def list_prefix(self, prefix: str) -> Iterator[str]:
        """The keys in this folder, sorted, at any depth."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete this key, or the folder of this name; nothing there is no error."""
