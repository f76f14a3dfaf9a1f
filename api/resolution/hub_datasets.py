"""A dataset of the hub: pinned to a commit, its files chosen, its footers looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from api.resolution.columns import KnownTable, check_table
from core.data.dataset import splits_sha256
from core.data.hub_layout import chosen_splits, listed
from core.data.parquet_footer import (
    TRAILER_BYTES,
    USUAL_FOOTER_BYTES,
    Footer,
    footer_bytes,
    read_footer,
)
from core.data.parquet_types import described
from core.errors import DataError
from core.hub.client import Hub, HubFile
from core.recipe.recipe import fingerprint
from core.recipe.sources import HubDataset
from core.recipe.splits import NamedSplits
from core.recipe.task import Task

MOST_FOOTERS = 8
"""Of one split's files that are looked at."""
HELD_OUT = "; null holds out a tenth of the train split"


@dataclass(frozen=True)
class HubTables:
    """The files of a commit that a job reads, by split."""

    id: str
    commit: str
    files: dict[str, tuple[HubFile, ...]]
    """The train split's first."""

    @property
    def sha256(self) -> str:
        """Of the folder that they become; where the hub gives no digests, of what it does give."""
        known = {split: [file.sha256 for file in files] for split, files in self.files.items()}
        if all(digest is not None for digests in known.values() for digest in digests):
            return splits_sha256({s: [str(one) for one in digests] for s, digests in known.items()})
        sizes = {s: [[file.name, file.bytes] for file in files] for s, files in self.files.items()}
        return fingerprint({"id": self.id, "commit": self.commit, "files": sizes})

    def inputs(self) -> dict[str, object]:
        names = {split: [file.name for file in files] for split, files in self.files.items()}
        return {"id": self.id, "commit": self.commit, "files": names}


def choose_tables(source: HubDataset, task: Task, hub: Hub, max_bytes: int) -> HubTables:
    """Ask the hub for its commit and files, and take those of the task's splits.

    Raises:
        DataError: the dataset, its revision, configuration or a split is not there, or it is too
            large; the hint names what is there.
    """
    commit = hub.pin("dataset", source.id, source.revision)
    offered = {file.name: file for file in hub.files("dataset", source.id, commit)}
    splits = chosen_splits(offered, source.config)
    wanted = _wanted(task, splits)
    files = {name: tuple(offered[file] for file in splits[name]) for name in wanted}
    _check_size([file for several in files.values() for file in several], max_bytes)
    return HubTables(source.id, commit, files)


def _wanted(task: Task, offered: dict[str, list[str]]) -> list[str]:
    if not isinstance(task.splits, NamedSplits):
        return [_only(offered)]
    named = {role: getattr(task.splits, role) for role in ("train", "validation", "test")}
    for role, name in named.items():
        if name is not None and name not in offered:
            raise DataError(
                f"the dataset has no split {name!r}",
                hint=f"its splits are {listed(offered)}{HELD_OUT if role == 'validation' else ''}",
                pointer=f"/task/splits/{role}",
            )
    return [name for name in named.values() if name is not None]


def _only(offered: dict[str, list[str]]) -> str:
    if len(offered) > 1:
        raise DataError(
            f"the dataset keeps its splits apart: {listed(offered)}",
            hint='name them: {"type": "named", "train": …, "validation": …, "test": …}',
            pointer="/task/splits",
        )
    return next(iter(offered))


def _check_size(files: Sequence[HubFile], max_bytes: int) -> None:
    total = sum(file.bytes for file in files)
    if total > max_bytes:
        raise DataError(
            f"the dataset's files take {total} bytes; at most {max_bytes} are taken",
            hint="take a smaller configuration, or upload a part of it",
            pointer="/task/dataset/id",
        )


def look_at(tables: HubTables, task: Task, hub: Hub) -> KnownTable:
    """The train split's columns, by the types in its files' footers; nothing is fetched.

    Rows are counted where a split has few files.

    Raises:
        DataError: a file is not parquet, is damaged, or has other columns than the split's first;
            or a split has no rows, or not what the task needs.
    """
    looks = {split: _look_at(tables, files, hub) for split, files in tables.files.items()}
    for split, table in looks.items():
        if table.split_rows == 0:
            raise DataError(f"the split {split!r} has no rows", pointer="/task/splits")
        _check_split(task, split, table)
    return next(iter(looks.values()))


def _check_split(task: Task, split: str, table: KnownTable) -> None:
    try:
        check_table(task, table)
    except DataError as error:
        what = f"in the split {split!r}, {error.message}"
        raise DataError(what, hint=error.hint, pointer=error.pointer) from None


def _look_at(tables: HubTables, files: Sequence[HubFile], hub: Hub) -> KnownTable:
    seen = files[:MOST_FOOTERS]
    footers = [_footer(_Remote(tables.id, tables.commit, file, hub)) for file in seen]
    for file, footer in zip(seen, footers, strict=True):
        if footer.schema.names != footers[0].schema.names:
            raise _at(DataError(f"does not have the columns of {seen[0].name}"), file)
    columns, unreadable = described(footers[0].schema)
    rows = sum(footer.rows for footer in footers) if len(seen) == len(files) else None
    return KnownTable("parquet", columns, unreadable=unreadable, split_rows=rows)


@dataclass(frozen=True)
class _Remote:
    """A file of a commit: what it holds does not change, whoever asks."""

    id: str
    commit: str
    file: HubFile
    hub: Hub = field(compare=False)

    def end(self, length: int) -> bytes:
        start = max(0, self.file.bytes - length)
        return self.hub.read("dataset", self.id, self.commit, self.file.name, start, length)


@lru_cache(maxsize=1024)
def _footer(remote: _Remote) -> Footer:
    try:
        return _read_footer(remote, remote.file.bytes)
    except DataError as error:
        raise error if error.pointer else _at(error, remote.file) from None


def _read_footer(remote: _Remote, size: int) -> Footer:
    end = remote.end(USUAL_FOOTER_BYTES)
    length = footer_bytes(end[-TRAILER_BYTES:], size)
    return read_footer(end[-length:] if length <= len(end) else remote.end(length), size)


def _at(error: DataError, file: HubFile) -> DataError:
    what = f"{file.name}: {error.message}"
    return DataError(what, hint=error.hint, pointer="/task/dataset/id")
