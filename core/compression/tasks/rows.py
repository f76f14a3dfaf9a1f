"""The rows of a dataset, each with its split and its place, and their cells, checked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from core.errors import DataError
from core.recipe.splits import NamedSplits, SeededSplits
from core.recipe.task import DataTask

Dataset = Mapping[str, Iterable[Mapping[str, Any]]]
"""Rows by split; a single table has the one entry ""."""


@dataclass(frozen=True)
class SourceRow:
    cells: Mapping[str, Any]
    place: str
    """For messages: Row 7, Row 7 of 'train'."""
    split: str
    """Empty where the recipe's seed decides."""

    def cell(self, column: str, field: str) -> Any:
        """What stands in the column that this field of the task names.

        Raises:
            DataError: the row has no such column, or nothing in it.
        """
        if column not in self.cells:
            raise DataError(
                f"{self.place} has no column {column!r}.",
                hint="Name a column that every row has.",
                pointer=f"/task/{field}",
            )
        value = self.cells[column]
        if value is None or value == "":
            self.refuse(field, f"{column!r} is empty")
        return value

    def text(self, column: str, field: str) -> str:
        value = self.cell(column, field)
        if not isinstance(value, str):
            self.refuse(field, f"{column!r} is not a text")
        return value

    def refuse(self, field: str, reason: str, hint: str | None = None) -> NoReturn:
        raise DataError(f"{self.place}: {reason}.", hint=hint, pointer=f"/task/{field}")


def columns_of(config: DataTask) -> set[str]:
    """The columns that the recipe names."""
    named = {getattr(config, field) for field in config.column_fields()}
    split = config.splits.column if isinstance(config.splits, NamedSplits) else None
    return {*named, split} - {None}


def source_rows(dataset: Dataset, splits: SeededSplits | NamedSplits) -> Iterator[SourceRow]:
    """The rows that the recipe's splits ask for, in the dataset's order.

    Raises:
        DataError: a named split is not there, or a table was given where splits are asked for.
    """
    if isinstance(splits, SeededSplits) or splits.column is not None:
        yield from _table_rows(dataset, splits)
        return
    for field in ("train", "validation", "test"):
        name = getattr(splits, field)
        if name is None:
            continue
        if name not in dataset:
            raise DataError(
                f"The dataset has no split {name!r}.",
                hint=f"Its splits are: {', '.join(map(repr, list(dataset)[:20]))}.",
                pointer=f"/task/splits/{field}",
            )
        for number, cells in enumerate(dataset[name], start=1):
            yield SourceRow(cells, f"Row {number} of {name!r}", name)


def _table_rows(dataset: Dataset, splits: SeededSplits | NamedSplits) -> Iterator[SourceRow]:
    """All rows of all tables (of a hub dataset the train split, where the seed decides)."""
    asked = {splits.train, splits.validation, splits.test} if splits.type == "named" else set()
    for number, cells in enumerate(_one_table(dataset), start=1):
        row = SourceRow(cells, f"Row {number}", "")
        if splits.type == "named":
            assert splits.column is not None, "a column names the split"
            name = str(row.cell(splits.column, "splits/column"))
            if name not in asked:
                continue
            row = SourceRow(cells, row.place, name)
        yield row


def _one_table(dataset: Dataset) -> Iterable[Mapping[str, Any]]:
    if len(dataset) == 1:
        return next(iter(dataset.values()))
    if "train" in dataset:
        return dataset["train"]
    raise DataError(
        f"The dataset keeps {len(dataset)} splits apart, and none is called 'train'.",
        hint="Name them: splits {'type': 'named', 'train': …, 'validation': …, 'test': …}.",
        pointer="/task/splits",
    )
