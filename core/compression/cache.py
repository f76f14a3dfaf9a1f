"""What jobs of one project share: whole folders by stage and fingerprint, complete or absent."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.file_lock import held

TURNS = ".turns"


@dataclass(frozen=True)
class Cache:
    """`<root>/<stage>/<fingerprint>/` appears by one rename and is never changed afterwards.

    Whoever comes second with the same entry finds it there and drops its own copy. Nobody need make
    what another is making: see `turn`.
    """

    root: Path

    def entry(self, stage: str, fingerprint: str) -> Path:
        return self.root / stage / fingerprint

    @contextmanager
    def turn(self, stage: str, fingerprint: str) -> Iterator[bool]:
        """Whether making this entry is the caller's alone meanwhile. It does not wait, and goes
        with the process."""
        with held(self.root / TURNS / f"{stage}-{fingerprint}") as is_ours:
            yield is_ours

    def take(self, stage: str, fingerprint: str, destination: Path) -> bool:
        """Give `destination` the entry's files; False if there is no entry (or it just went)."""
        entry = self.entry(stage, fingerprint)
        if not entry.exists():
            return False
        try:
            return publish(entry, destination)
        except OSError:
            if entry.exists():
                raise
            return False

    def give(self, stage: str, fingerprint: str, source: Path) -> bool:
        """Make an entry of a finished folder; False if another job was first."""
        return publish(source, self.entry(stage, fingerprint))


def publish(source: Path, destination: Path) -> bool:
    """Copy a folder so that it appears whole, by hard links where the file system can.

    False if `destination` was there already.
    """
    if destination.exists():
        return False
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}")
    try:
        shutil.copytree(source, partial, copy_function=_link_or_copy)
        partial.rename(destination)
    except OSError:
        if not destination.exists():
            raise
        return False
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _link_or_copy(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, destination)
