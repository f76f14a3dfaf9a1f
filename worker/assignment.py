"""What a supervisor tells its runner: one JSON line on stdin. Stop requests are lines after it."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

STOP = b'{"request": "stop"}\n'


class Assignment(BaseModel):
    """One attempt's work, as paths on this host."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    job_id: str
    epoch: int
    recipe: dict[str, Any]
    directory: Path
    cache: Path
    model: Path
    dataset: Path
    device: str
    threads: int
    events_fd: int
    """The descriptor that the runner writes its events to, one JSON object a line."""
