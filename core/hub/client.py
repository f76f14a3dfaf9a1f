"""Models and datasets of a hub: pinned to a commit, listed, read in part, fetched whole.

File names are never trusted as paths, and nothing is written but where the caller says.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_session, hf_hub_url, hf_raise_for_status

from core.hub.download import Download
from core.hub.refusals import Kind, answered, away, refused

ANSWER_S = 20.0
"""A hub that is silent for this long is away."""
READ_AT_ONCE = 1 << 16
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
NAME = re.compile(r"[^./\\][^/\\]*(/[^./\\][^/\\]*)*")
LONGEST_NAME = 400
LONGEST_PART = 200
"""In bytes, of one folder's or file's own name."""


@dataclass(frozen=True)
class HubFile:
    name: str
    """Relative, with forward slashes; no part of it begins with a dot."""
    bytes: int
    sha256: str | None
    """Known for files in large-file storage, as weights and tables are."""


@dataclass(frozen=True)
class Fetched:
    """How far a fetch has come, in bytes of all its files."""

    done: int
    total: int


class Hub:
    """One hub, seen with a project's token or without.

    Every method raises ModelError (or DataError, for a dataset) at the recipe's field that names
    what the hub does not have; `retryable` where the hub itself is away.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._headers = {"user-agent": "rankwise"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._api = HfApi(endpoint=self._endpoint, token=token or False, headers=self._headers)

    def pin(self, kind: Kind, id: str, revision: str | None) -> str:
        """The commit, 40 hexadecimal digits, that a branch, tag or commit stands for now."""
        commit = self._info(kind, id, revision, files_metadata=False).sha
        if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
            raise away(kind, "the hub names no commit")
        return commit

    def files(self, kind: Kind, id: str, commit: str) -> list[HubFile]:
        """Every file with a plain name, sorted by name; others are left out."""
        siblings = self._info(kind, id, commit, files_metadata=True).siblings or []
        return sorted(
            (
                HubFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None)
                for file in siblings
                if is_plain(file.rfilename) and type(file.size) is int
            ),
            key=lambda file: file.name,
        )

    def read(self, kind: Kind, id: str, commit: str, name: str, start: int, length: int) -> bytes:
        """`length` bytes of a file from `start` on, fewer only where the file ends."""
        headers = self._headers | {
            "range": f"bytes={start}-{start + length - 1}",
            "accept-encoding": "identity",
        }
        address = self._address(kind, id, commit, name)
        request = get_session().stream("GET", address, headers=headers, timeout=ANSWER_S)
        with answered(kind, id, commit), request as response:
            if response.status_code == 416:
                return b""
            hf_raise_for_status(response)
            skipped = 0 if response.status_code == 206 else start
            return _some(response.iter_bytes(READ_AT_ONCE), skipped, length)

    def fetch(
        self, kind: Kind, id: str, commit: str, names: Sequence[str], destination: Path
    ) -> Iterator[Fetched]:
        """Write `destination/<name>` for each name; each file appears whole and verified.

        What an interrupted fetch left is gone on with. Yields at least once, and about once a MB.
        """
        listed = {file.name: file for file in self.files(kind, id, commit)}
        missing = next((name for name in names if name not in listed), None)
        if missing is not None:
            raise refused(kind, "id", f"{id} has no file {missing!r} at {commit}")
        files = [listed[name] for name in names]
        done, total = 0, sum(file.bytes for file in files)
        yield Fetched(done, total)
        for file in files:
            download = Download(
                kind=kind,
                id=id,
                address=self._address(kind, id, commit, file.name),
                headers=self._headers,
                bytes=file.bytes,
                sha256=file.sha256,
                path=destination / file.name,
            )
            for received in download.run():
                yield Fetched(done + received, total)
            done += file.bytes
        yield Fetched(done, total)

    def _info(self, kind: Kind, id: str, revision: str | None, files_metadata: bool) -> Any:
        with answered(kind, id, revision):
            return self._api.repo_info(
                id,
                repo_type=kind,
                revision=revision or "main",
                files_metadata=files_metadata,
                timeout=ANSWER_S,
            )

    def _address(self, kind: Kind, id: str, commit: str, name: str) -> str:
        assert is_plain(name)
        assert COMMIT.fullmatch(commit)
        address: str = hf_hub_url(
            id, name, repo_type=kind, revision=commit, endpoint=self._endpoint
        )
        return address


def is_plain(name: object) -> bool:
    """A relative path with no part that climbs, hides, or is too long for a file system."""
    return (
        isinstance(name, str)
        and len(name) <= LONGEST_NAME
        and NAME.fullmatch(name) is not None
        and all(len(part.encode(errors="replace")) <= LONGEST_PART for part in name.split("/"))
        and name.isprintable()
    )


def _some(chunks: Iterator[bytes], skipped: int, length: int) -> bytes:
    """A span of a stream, which is read no further."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) >= skipped + length:
            break
    return bytes(content[skipped : skipped + length])
