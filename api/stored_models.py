"""The files of a model in storage, read in parts: its headers, without its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database.tables import Artifact, UploadedModel
from core.planning.artifacts import READ_FILES
from core.storage.storage import Storage


@dataclass(frozen=True)
class StoredFile:
    key: str
    bytes: int
    sha256: str


class StoredFiles:
    """A `core.planning.model_files.ModelFiles`; sizes and digests are those of the rows."""

    def __init__(self, storage: Storage, prefix: str, files: Mapping[str, StoredFile]) -> None:
        self._storage, self._prefix, self._files = storage, prefix, files

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self._files)

    @property
    def keys(self) -> dict[str, str]:
        """By name."""
        return {name: file.key for name, file in self._files.items()}

    def gone(self) -> str | None:
        """The name of a file that is no longer stored; one look for all of them."""
        stored = set(self._storage.list_prefix(self._prefix)) if self._files else set()
        return next((name for name, file in self._files.items() if file.key not in stored), None)

    def size(self, name: str) -> int:
        return self._files[name].bytes

    def read(self, name: str, start: int, length: int) -> bytes:
        with self._storage.open(self._files[name].key) as stream:
            stream.seek(start)
            return stream.read(length)

    def sha256(self, name: str) -> str:
        return self._files[name].sha256


def uploaded_files(row: UploadedModel, storage: Storage) -> StoredFiles:
    files = {
        file["name"]: StoredFile(
            f"{row.storage_prefix}/{file['name']}", file["bytes"], file["sha256"]
        )
        for file in row.files
    }
    return StoredFiles(storage, row.storage_prefix, files)


def artifact_files(job_id: str, session: Session, storage: Storage) -> StoredFiles:
    """Those of the artifact's files that a later job reads."""
    rows = session.scalars(select(Artifact).where(Artifact.job_id == job_id)).all()
    read = {
        row.name: StoredFile(row.storage_key, row.bytes, row.sha256)
        for row in rows
        if row.name in READ_FILES
    }
    prefix = next((file.key.removesuffix(f"/{name}") for name, file in read.items()), "")
    return StoredFiles(storage, prefix, read)
