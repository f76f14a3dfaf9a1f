"""What a recipe names, found and checked before any worker hears of it.

Refusals are core.errors with the recipe's pointer; nothing is written.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from api.datasets import service as datasets
from core.data.preview import column_names, single_label
from core.data.tables import TableFormat, Value, format_of
from core.errors import DataError
from core.planning.checkpoint import Checkpoint, read_checkpoint, resolve_under_roots
from core.planning.families import target_layers
from core.planning.plan import Plan, TargetLayer
from core.planning.planner import make_plan
from core.recipe import Recipe
from core.recipe.sources import PathDataset, UploadDataset
from core.recipe.task import TextClassification
from core.settings import Settings


@dataclass(frozen=True)
class DatasetInput:
    """A table, and what is known of it without reading it whole."""

    sha256: str
    format: TableFormat
    columns: list[str]
    single_label: Value
    """The label that all rows share, where that is known."""
    rows: int | None = None
    path: Path | None = None
    storage_key: str | None = None

    def inputs(self) -> dict[str, Any]:
        return {
            "dataset_path": None if self.path is None else str(self.path),
            "dataset_key": self.storage_key,
            "dataset_format": self.format,
            "dataset_sha256": self.sha256,
        }


@dataclass(frozen=True)
class Resolved:
    """A recipe's inputs, and the plan that shapes alone allow."""

    checkpoint: Checkpoint
    layers: tuple[TargetLayer, ...]
    dataset: DatasetInput
    plan: Plan

    def inputs(self) -> dict[str, Any]:
        """As the job's row keeps them for its runner."""
        model = {
            "model_path": str(self.checkpoint.folder),
            "model_digest": self.checkpoint.digest,
        }
        return model | self.dataset.inputs()


def resolve(recipe: Recipe, project_id: str, session: Session, settings: Settings) -> Resolved:
    """Raises ModelError, DataError or BudgetError for what no run of this recipe could use."""
    dataset = _find_dataset(recipe.task, project_id, session, settings)
    _check_columns(recipe.task, dataset)
    checkpoint = read_checkpoint(resolve_under_roots(recipe.model.path, settings.model_roots))
    layers = target_layers(checkpoint)
    plan = make_plan(layers, checkpoint.params, recipe, None)
    return Resolved(checkpoint, layers, dataset, plan)


def train_rows(task: TextClassification, dataset: DatasetInput) -> int | None:
    """About how many rows the train split will have, where the table's are known."""
    if dataset.rows is None:
        return None
    share, most = int(task.splits.train * dataset.rows), task.splits.max_rows.train
    return share if most is None else min(share, most)


def _find_dataset(
    task: TextClassification, project_id: str, session: Session, settings: Settings
) -> DatasetInput:
    source = task.dataset
    if isinstance(source, UploadDataset):
        return _uploaded(source, task.label, project_id, session)
    return _under_roots(source, task.label, settings)


def _uploaded(source: UploadDataset, label: str, project_id: str, session: Session) -> DatasetInput:
    row = datasets.find(session, project_id, source.id)
    if row is None:
        raise DataError(
            f"there is no dataset {source.id}",
            hint="upload it: POST /v1/datasets",
            pointer="/task/dataset/id",
        )
    counts = next((column.get("counts") for column in row.columns if column["name"] == label), None)
    format = format_of(row.storage_key)
    assert format is not None, "keys end in their format"
    return DatasetInput(
        sha256=row.sha256,
        format=format,
        columns=[column["name"] for column in row.columns],
        single_label=next(iter(counts)) if counts is not None and len(counts) == 1 else None,
        rows=row.rows,
        storage_key=row.storage_key,
    )


def _under_roots(source: PathDataset, label: str, settings: Settings) -> DatasetInput:
    pointer = "/task/dataset/path"
    path = resolve_under_roots(
        source.path, settings.dataset_roots, pointer=pointer, error=DataError
    )
    format = format_of(path.name)
    if format is None or not path.is_file():
        raise DataError("not a .csv or .jsonl file", pointer=pointer)
    try:
        columns = column_names(path, format)
        single = single_label(path, format, label) if label in columns else None
    except DataError as error:
        raise DataError(error.message, hint=error.hint, pointer=pointer) from None
    return DatasetInput(file_sha256(path), format, columns, single, path=path)


def _check_columns(task: TextClassification, dataset: DatasetInput) -> None:
    for field in ("text", "text_pair", "label"):
        column = getattr(task, field)
        if column is not None and column not in dataset.columns:
            raise DataError(
                f"the dataset has no column {column!r}",
                hint=f"its columns are {', '.join(map(repr, dataset.columns[:20]))}",
                pointer=f"/task/{field}",
            )
    if dataset.single_label is not None:
        raise DataError(
            f"the column {task.label!r} has the single value {dataset.single_label!r}",
            hint="a classification needs at least two labels",
            pointer="/task/label",
        )


def file_sha256(path: Path) -> str:
    status = path.stat()
    return _hash_unchanged(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=1024)
def _hash_unchanged(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """Remembered for as long as the file looks untouched."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
