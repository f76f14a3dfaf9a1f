"""What a table holds: columns with types and values, label counts, text lengths, first rows."""

import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.data.tables import Row, TableFormat, Value, read_rows
from core.errors import DataError

ColumnType = Literal["string", "integer", "number", "boolean", "mixed", "empty"]

PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 1000
MAX_EXAMPLES = 3
MAX_DISTINCT = 1000
MAX_COUNTED = 100
MAX_LABEL_CHARACTERS = 256
LENGTH_EDGES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
LABEL_SCAN_ROWS = 10_000
INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class LengthBin(BaseModel):
    model_config = ConfigDict(frozen=True)

    up_to: int | None
    """Characters, inclusive; None is open-ended."""
    rows: int


class ColumnSummary(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    type: ColumnType
    """Of a csv: what every non-empty cell could be read as."""
    missing: int = 0
    """Rows where it is null, or an empty cell."""
    distinct: int | None = None
    """Different values; None beyond 1,000, or where values are too long to be labels."""
    examples: list[Value] = []
    counts: dict[str, int] | None = None
    """Rows per value, where at most 100 values differ."""
    lengths: list[LengthBin] | None = None
    """How long the texts are, for columns of type string."""


class TableSummary(BaseModel):
    model_config = ConfigDict(frozen=True)

    rows: int
    columns: list[ColumnSummary]


def summarize(path: Path, format: TableFormat) -> TableSummary:
    """Read the whole table once, checking every row; raises DataError naming the first bad line."""
    tallies: dict[str, _Tally] = {}
    rows = 0
    for row in read_rows(path, format):
        if not tallies:
            tallies = {name: _Tally(from_text=format == "csv") for name in row}
        for name, value in row.items():
            tallies[name].add(value)
        rows += 1
    if rows == 0:
        raise DataError("the table has no rows", hint="a header alone is not enough")
    return TableSummary(rows=rows, columns=[tally.summary(name) for name, tally in tallies.items()])


def first_rows(path: Path, format: TableFormat, count: int = PREVIEW_ROWS) -> list[Row]:
    """The first rows, long texts cut."""
    return [
        {name: _shortened(value) for name, value in row.items()}
        for row in islice(read_rows(path, format), count)
    ]


def column_names(path: Path, format: TableFormat) -> list[str]:
    """The columns, from the first row."""
    first = next(iter(read_rows(path, format)), None)
    if first is None:
        raise DataError("the table has no rows", hint="a header alone is not enough")
    return list(first)


def single_label(path: Path, format: TableFormat, column: str) -> Value:
    """The one value that `column` has in all its rows, or None when it has at least two.

    Looks at the first 10,000 rows; a longer table is given the benefit of the doubt.
    """
    labels: set[Value] = set()
    seen = 0
    for row in islice(read_rows(path, format), LABEL_SCAN_ROWS):
        labels.add(row[column])
        seen += 1
        if len(labels) > 1:
            return None
    return labels.pop() if labels and seen < LABEL_SCAN_ROWS else None


class _Tally:
    """What is counted of one column while its rows go by."""

    def __init__(self, from_text: bool):
        self.from_text = from_text
        self.types: set[ColumnType] = set()
        self.missing = 0
        self.examples: list[Value] = []
        self.counts: Counter[str] | None = Counter()
        self.lengths: Counter[int | None] = Counter()

    def add(self, value: Value) -> None:
        if value is None or value == "":
            self.missing += 1
            return
        self.types.add(_type_of(value, self.from_text))
        if isinstance(value, str):
            self.lengths[_length_bin(len(value))] += 1
        self._count(value)
        if len(self.examples) < MAX_EXAMPLES and value not in self.examples:
            self.examples.append(_shortened(value))

    def _count(self, value: Value) -> None:
        if self.counts is None:
            return
        label = label_text(value)
        self.counts[label] += 1
        if len(self.counts) > MAX_DISTINCT or len(label) > MAX_LABEL_CHARACTERS:
            self.counts = None

    def summary(self, name: str) -> ColumnSummary:
        type = _common_type(self.types, self.from_text)
        few = self.counts is not None and len(self.counts) <= MAX_COUNTED
        return ColumnSummary(
            name=name,
            type=type,
            missing=self.missing,
            distinct=None if self.counts is None else len(self.counts),
            examples=self.examples,
            counts=dict(self.counts.most_common()) if self.counts is not None and few else None,
            lengths=self._histogram() if type == "string" else None,
        )

    def _histogram(self) -> list[LengthBin]:
        return [LengthBin(up_to=edge, rows=self.lengths[edge]) for edge in (*LENGTH_EDGES, None)]


def label_text(value: Value) -> str:
    """A label as a JSON document would write it: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type_of(value: Value, from_text: bool) -> ColumnType:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return _type_of_cell(str(value)) if from_text else "string"


def _type_of_cell(cell: str) -> ColumnType:
    if cell.lower() in {"true", "false"}:
        return "boolean"
    if INTEGER.fullmatch(cell):
        return "integer"
    return "number" if NUMBER.fullmatch(cell) else "string"


def _common_type(types: set[ColumnType], from_text: bool) -> ColumnType:
    """The one type that all values fit; any cell of a csv is a string if nothing narrower."""
    if not types:
        return "empty"
    if len(types) == 1:
        return next(iter(types))
    if types == {"integer", "number"}:
        return "number"
    return "string" if from_text else "mixed"


def _length_bin(characters: int) -> int | None:
    return next((edge for edge in LENGTH_EDGES if characters <= edge), None)


def _shortened(value: Value) -> Value:
    if isinstance(value, str) and len(value) > PREVIEW_CHARACTERS:
        return value[:PREVIEW_CHARACTERS] + "…"
    return value
