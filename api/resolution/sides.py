"""Splits that a table's column names must hold more than one label each."""

from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from core.data.tables import TableFormat, Value, read_rows
from core.errors import DataError
from core.recipe.splits import NamedSplits
from core.recipe.task import Task, TextClassification

SEEN_ROWS = 10_000
"""A longer table is left to the runner, which looks at all of it."""


def check_sides(task: Task, path: Callable[[], Path], format: TableFormat) -> None:
    """The path is asked for only where rows must be read: a file may have to be fetched first.

    Raises DataError at the split whose rows all have the same label."""
    if not isinstance(task, TextClassification) or not isinstance(task.splits, NamedSplits):
        return
    if task.splits.column is None or task.label is None:
        return
    columns = (task.splits.column, task.label)
    rows = list(islice(read_rows(path(), format, columns), SEEN_ROWS + 1))
    if len(rows) > SEEN_ROWS:
        return
    labels: dict[Value, set[Value]] = defaultdict(set)
    for row in rows:
        labels[row[task.splits.column]].add(row[task.label])
    for field in ("train", "validation", "test"):
        name = getattr(task.splits, field)
        if name is not None and len(labels[name]) == 1:
            raise DataError(
                f"all rows of the split {name!r} have the label {next(iter(labels[name]))!r}",
                hint="every split needs two labels or more",
                pointer=f"/task/splits/{field}",
            )
