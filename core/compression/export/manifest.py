"""What is in an artifact, with checksums: manifest.json and SHA256SUMS."""

import hashlib
from pathlib import Path
from typing import Any

from core.compression.export.weights import write_json
from core.recipe.events import ArtifactFile

MANIFEST_FILE = "manifest.json"
SUMS_FILE = "SHA256SUMS"


def write_manifest(folder: Path, described: dict[str, Any]) -> None:
    """`described`, and every file written so far with its size and SHA-256."""
    files = [file.model_dump() for file in list_files(folder)]
    write_json(folder / MANIFEST_FILE, {"format": "rankwise-artifact", **described, "files": files})


def write_sums(folder: Path) -> None:
    """One line a file, sorted, in the format that `sha256sum -c` reads."""
    lines = [f"{file.sha256}  {file.name}\n" for file in list_files(folder)]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def list_files(folder: Path) -> tuple[ArtifactFile, ...]:
    """Every file under the folder, sorted by name."""
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return tuple(
        ArtifactFile(name=name, bytes=path.stat().st_size, sha256=sha256(path))
        for name, path in sorted(paths.items())
    )


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
