"""One file from a hub to a path: resumed, verified, and there only when it is whole."""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2
from huggingface_hub import get_session, hf_raise_for_status
from huggingface_hub.errors import HfHubHTTPError

from core.hub.refusals import Kind, answered, away

TELL_EVERY_BYTES = 1 << 20
SILENCE_S = 30.0
PATIENCE = 5
"""Answers in a row that may bring nothing before the hub counts as away."""
FIRST_PAUSE_S = 0.25
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that another request may not meet."""


@dataclass(frozen=True)
class Download:
    kind: Kind
    id: str
    address: str
    headers: dict[str, str]
    bytes: int
    sha256: str | None
    path: Path

    def run(self) -> Iterator[int]:
        """Yields how many bytes are there. A whole file that is there already stays as it is."""
        if self.path.is_file() and self.path.stat().st_size == self.bytes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("a+b") as file, answered(self.kind, self.id, None):
            yield from self._completed(file)
            file.flush()
            os.fsync(file.fileno())
        self._verify(partial)
        partial.replace(self.path)

    def _completed(self, file: BinaryIO) -> Iterator[int]:
        """Ask again from where the last answer broke off, while answers bring something."""
        if file.tell() > self.bytes:
            _begin_anew(file)
        fruitless, failure = 0, None
        while file.tell() != self.bytes:
            if fruitless == PATIENCE:
                raise failure or away(self.kind, "the hub sends a file of another size")
            if fruitless:
                time.sleep(FIRST_PAUSE_S * 2**fruitless)
            before = file.tell()
            try:
                yield from self._received(file)
            except httpx2.HTTPError as error:
                if not _may_pass(error):
                    raise
                failure = error
            fruitless = 0 if file.tell() > before else fruitless + 1

    def _received(self, file: BinaryIO) -> Iterator[int]:
        """One answer of the hub. A file that grows too long is begun anew by the next one."""
        headers = self.headers | {"accept-encoding": "identity", "range": f"bytes={file.tell()}-"}
        request = get_session().stream("GET", self.address, headers=headers, timeout=SILENCE_S)
        with request as response:
            hf_raise_for_status(response)
            if response.status_code != 206:
                _begin_anew(file)
            told = file.tell()
            for chunk in response.iter_bytes():  # no size: what a broken answer brought is kept
                file.write(chunk)
                if file.tell() > self.bytes:
                    _begin_anew(file)
                    return
                if file.tell() - told >= TELL_EVERY_BYTES:
                    yield (told := file.tell())

    def _verify(self, partial: Path) -> None:
        if self.sha256 is None:
            return
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            partial.unlink()
            raise away(
                self.kind, f"{self.path.name} is not what the hub announced: SHA-256 differs"
            )


def _begin_anew(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _may_pass(error: httpx2.HTTPError) -> bool:
    return not isinstance(error, HfHubHTTPError) or error.response.status_code in PASSING
