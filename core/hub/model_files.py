"""A model on a hub, read in parts: what planning needs, without its weights."""

import hashlib

from core.errors import ModelError
from core.hub.client import Hub

AHEAD_BYTES = 1 << 18
"""A first read takes this much: most headers and JSON files come in one request."""
MAX_HASHED_BYTES = 64 << 20
"""Files whose SHA-256 the hub does not know are read to hash them; vocabularies are far smaller."""


class RemoteFiles:
    """A `core.planning.model_files.ModelFiles` over one commit; each part is asked for once."""

    def __init__(self, hub: Hub, id: str, commit: str) -> None:
        self._hub, self._id, self._commit = hub, id, commit
        self._files = {file.name: file for file in hub.files("model", id, commit)}
        self._beginnings: dict[str, bytes] = {}
        self.names = frozenset(name for name in self._files if "/" not in name)

    def size(self, name: str) -> int:
        return self._files[name].bytes

    def read(self, name: str, start: int, length: int) -> bytes:
        stop = min(start + length, self.size(name))
        beginning = self._beginning(name)
        if stop <= len(beginning):
            return beginning[start:stop]
        return self._fetched(name, start, stop - start)

    def sha256(self, name: str) -> str:
        known = self._files[name].sha256
        if known is not None:
            return known
        if self.size(name) > MAX_HASHED_BYTES:
            raise ModelError(
                f"the hub knows no SHA-256 of {name}, which is over {MAX_HASHED_BYTES >> 20} MB",
                hint="keep it in the hub's large-file storage",
                pointer="/model/id",
            )
        return hashlib.sha256(self.read(name, 0, self.size(name))).hexdigest()

    def _beginning(self, name: str) -> bytes:
        if name not in self._beginnings:
            self._beginnings[name] = self._fetched(name, 0, min(AHEAD_BYTES, self.size(name)))
        return self._beginnings[name]

    def _fetched(self, name: str, start: int, length: int) -> bytes:
        if length == 0:
            return b""
        return self._hub.read("model", self._id, self._commit, name, start, length)
