"""What a table holds: columns with types and values, label counts, lengths, first rows."""

from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.data.columns import PREVIEW_ROWS, ColumnSummary, ColumnTally, shortened
from core.data.tables import TableFormat, read_rows
from core.data.values import Row
from core.errors import DataError


class TableSummary(BaseModel):
    model_config = ConfigDict(frozen=True)

    rows: int
    """That were read."""
    columns: list[ColumnSummary]
    whole: bool = True
    """All of the table's rows were read."""


def summarize(path: Path, format: TableFormat, most: int | None = None) -> TableSummary:
    """Read the table once, the whole or its first `most` rows, checking every row.

    Raises DataError naming the first bad line, and for a table without rows.
    """
    tallies: dict[str, ColumnTally] = {}
    rows = 0
    for row in islice(read_rows(path, format), most):
        if not tallies:
            tallies = {name: ColumnTally(from_text=format == "csv") for name in row}
        for name, value in row.items():
            tallies[name].add(value)
        rows += 1
    if rows == 0:
        raise DataError("the table has no rows", hint="a header alone is not enough")
    columns = [tally.summary(name) for name, tally in tallies.items()]
    return TableSummary(rows=rows, columns=columns, whole=most is None or rows < most)


def first_rows(path: Path, format: TableFormat, count: int = PREVIEW_ROWS) -> list[Row]:
    """The first rows, long texts and lists cut."""
    return [
        {name: shortened(value) for name, value in row.items()}
        for row in islice(read_rows(path, format), count)
    ]
