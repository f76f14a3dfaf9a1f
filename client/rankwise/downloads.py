"""Artifacts on disk: resumed where they broke off, and believed only by their digests."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from rankwise.connection import TRIES, Connection, backoff
from rankwise.errors import Damaged, Json, Unreachable

Seen = Callable[[int], None]
"""Told of bytes as they arrive."""


def download(
    connection: Connection, job_id: str, folder: Path, seen: Seen = lambda _: None
) -> list[Path]:
    """Every file of the artifact. Those that are there, whole and right, are left.

    Raises:
        Damaged: a file is not what its digest says.
    """
    files = list(connection.pages(f"/v1/jobs/{job_id}/artifacts", {"limit": 200}))
    return [one_file(connection, file, folder, seen) for file in files]


def one_file(connection: Connection, file: Json, folder: Path, seen: Seen) -> Path:
    target = inside(folder, file["name"])
    if target.exists() and digest_of(target) == file["sha256"]:
        seen(file["bytes"])
        return target
    partial = target.with_name(f".{target.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(TRIES):
        try:
            fetch(connection, file, partial, seen)
            break
        except Unreachable:
            if attempt == TRIES - 1:
                raise
            time.sleep(backoff(attempt))
    if digest_of(partial) != file["sha256"]:
        partial.unlink()
        raise Damaged(f"{file['name']} is not what its SHA-256 says; download it again.")
    partial.replace(target)
    return target


def fetch(connection: Connection, file: Json, partial: Path, seen: Seen) -> None:
    """The rest of a file, behind what is there of it."""
    there = partial.stat().st_size if partial.exists() else 0
    if there > file["bytes"]:
        partial.unlink()
        there = 0
    if there == file["bytes"] and there > 0:
        return
    headers = {"Range": f"bytes={there}-", "If-Range": f'"{file["sha256"]}"'} if there else {}
    with connection.stream(file["links"]["content"], headers) as response:
        continued = response.status_code == 206
        seen(there if continued else 0)
        with partial.open("ab" if continued else "wb") as handle:
            for chunk in response.iter_bytes():
                handle.write(chunk)
                seen(len(chunk))


def inside(folder: Path, name: str) -> Path:
    """
    Raises:
        Damaged: the name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise Damaged(f"The artifact names a file {name!r}, which lies outside of it.")
    return folder.joinpath(*parts)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
