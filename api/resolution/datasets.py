"""The dataset that a recipe names: where it lies, its columns, and what is refused unread."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from api.datasets import service as datasets
from api.resolution.columns import KnownTable, check_table
from api.resolution.hub_datasets import HubTables, choose_tables, look_at
from api.resolution.sides import check_sides
from core.data.columns import ColumnSummary
from core.data.confined import summarize_confined
from core.data.preview import TableSummary
from core.data.tables import TableFormat, format_of
from core.errors import DataError
from core.hub.client import Hub
from core.hub.tokens import project_token
from core.planning.checkpoint import resolve_under_roots
from core.recipe.sources import DatasetSource, HubDataset, PathDataset, UploadDataset
from core.recipe.splits import SeededSplits, Splits
from core.recipe.task import Task
from core.settings import Settings
from core.storage.storage import Storage

LOOK_ROWS = 10_000
"""Of a table named by path; one with fewer rows is known as well as an uploaded one."""
HELD_OUT = 10
"""One row in so many of the train split is held out where no validation split is named."""


@dataclass(frozen=True)
class DatasetInput:
    """A dataset, and what is known of it without reading it whole."""

    source: DatasetSource
    """The recipe's, pinned."""
    sha256: str
    table: KnownTable
    path: Path | None = None
    storage_key: str | None = None
    hub: HubTables | None = None

    def inputs(self) -> dict[str, Any]:
        inputs = {
            "dataset_path": None if self.path is None else str(self.path),
            "dataset_key": self.storage_key,
            "dataset_format": self.table.format,
            "dataset_sha256": self.sha256,
        }
        return inputs if self.hub is None else inputs | {"dataset_hub": self.hub.inputs()}


def train_rows(task: Task, dataset: DatasetInput) -> int | None:
    """About how many rows the train split will have, where the table's are known."""
    share = _train_share(task.splits, dataset.table)
    most = task.splits.max_rows.train
    return share if most is None or share is None else min(share, most)


def _train_share(splits: Splits, table: KnownTable) -> int | None:
    if isinstance(splits, SeededSplits):
        rows = table.rows if table.split_rows is None else table.split_rows
        return None if rows is None else int(splits.train * rows)
    named = table.split_rows
    if splits.column is not None:
        named = table.rows_where(splits.column, splits.train)
    held_out = 0 if named is None or splits.validation is not None else named // HELD_OUT
    return None if named is None else named - held_out


def resolve_dataset(
    task: Task, project_id: str, session: Session, settings: Settings, storage: Storage
) -> DatasetInput:
    """Find the task's dataset and hold the task against what is known of it.

    Raises:
        DataError: it is not there, cannot be read, or is not what the task needs.
    """
    source = task.dataset
    if isinstance(source, UploadDataset):
        dataset = _uploaded(source, project_id, session)
        path = partial(_stored, str(dataset.storage_key), storage)
    elif isinstance(source, PathDataset):
        dataset = _under_roots(source, settings)
        path = partial(Path, str(dataset.path))
    else:
        return _on_the_hub(source, task, project_id, session, settings)
    check_table(task, dataset.table)
    check_sides(task, path, dataset.table.format)
    return dataset


def _stored(key: str, storage: Storage) -> Path:
    try:
        return storage.path(key)
    except FileNotFoundError:
        raise DataError("its file is no longer stored", pointer="/task/dataset/id") from None


def _uploaded(source: UploadDataset, project_id: str, session: Session) -> DatasetInput:
    row = datasets.find(session, project_id, source.id)
    if row is None:
        raise DataError(
            f"there is no dataset {source.id}",
            hint="upload it: POST /v1/datasets",
            pointer="/task/dataset/id",
        )
    format = format_of(row.storage_key)
    assert format is not None, "keys end in their format"
    columns = [ColumnSummary.model_validate(column) for column in row.columns]
    table = KnownTable(format, columns, row.rows)
    return DatasetInput(source, row.sha256, table, storage_key=row.storage_key)


def _under_roots(source: PathDataset, settings: Settings) -> DatasetInput:
    pointer = "/task/dataset/path"
    path = resolve_under_roots(
        source.path, settings.dataset_roots, pointer=pointer, error=DataError
    )
    format = format_of(path.name)
    if format is None or not path.is_file():
        raise DataError("not a .csv, .jsonl or .parquet file", pointer=pointer)
    unchanged = _Unchanged.of(path)
    try:
        summary = _looked_at(unchanged, format)
    except DataError as error:
        raise DataError(error.message, hint=error.hint, pointer=pointer) from None
    table = KnownTable(format, summary.columns, summary.rows if summary.whole else None)
    return DatasetInput(source, _hash(unchanged), table, path=path)


def _on_the_hub(
    source: HubDataset, task: Task, project_id: str, session: Session, settings: Settings
) -> DatasetInput:
    token = project_token(session, project_id, settings)
    session.commit()  # the hub may take long to answer: nothing is held in the database meanwhile
    hub = Hub(settings.hub_endpoint, token)
    tables = choose_tables(source, task, hub, settings.max_upload_bytes)
    pinned = source.model_copy(update={"revision": tables.commit})
    return DatasetInput(pinned, tables.sha256, look_at(tables, task, hub), hub=tables)


@dataclass(frozen=True)
class _Unchanged:
    """A file for as long as it looks untouched: what was found in it is remembered."""

    path: Path
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "_Unchanged":
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=1024)
def _looked_at(file: _Unchanged, format: TableFormat) -> TableSummary:
    summary, _ = summarize_confined(file.path, format, most=LOOK_ROWS)
    return summary


@lru_cache(maxsize=1024)
def _hash(file: _Unchanged) -> str:
    with file.path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
