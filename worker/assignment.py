"""What a supervisor tells its runner: one JSON line on stdin. Stop requests are lines after it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

STOP = b'{"request": "stop"}\n'


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StoredFiles(Message):
    """A model in storage, which the runner puts together in a folder of its own."""

    files: dict[str, Path]
    """Name in the folder → the storage's local copy, never written to."""
    factored: bool = False
    """An artifact: its factors are multiplied back before the run."""


class HubFiles(Message):
    """A model or dataset on a hub, which the runner downloads."""

    kind: Literal["model", "dataset"]
    id: str
    commit: str
    files: dict[str, tuple[str, ...]]
    """Folder → the names on the hub of the files in it; a model has the one folder ``""``, a
    dataset one for each split."""
    endpoint: str
    token: str | None = Field(default=None, repr=False)
    """In clear, on this pipe alone."""
    digest: str | None = None
    """What the model's files were found to be when the job was submitted."""
    cache: Path
    cache_max_bytes: int


class Assignment(Message):
    """One attempt's work, as paths on this host and addresses."""

    job_id: str
    epoch: int
    recipe: dict[str, Any]
    directory: Path
    cache: Path
    model: Path | StoredFiles | HubFiles
    dataset: Path | HubFiles
    device: str
    threads: int
    events_fd: int
    """The descriptor that the runner writes its events to, one JSON object a line."""
