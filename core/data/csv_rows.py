"""Rows of a csv: comma-separated, quoted with ", the first record naming the columns."""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

from core.data.lines import MAX_HEADER_BYTES, MAX_RECORD_BYTES, Lines
from core.data.values import Row, checked_columns, refuse
from core.errors import DataError

csv.field_size_limit(MAX_RECORD_BYTES)


def csv_rows(file: BinaryIO) -> Iterator[Row]:
    """Every cell is a string. Raises DataError naming the line."""
    lines = Lines(file, first=MAX_HEADER_BYTES)
    reader = csv.reader(lines, strict=True)
    header = _next_record(reader, lines)
    if header is None:
        raise DataError("the file is empty", hint="the first line names the columns")
    checked_columns(header, lines.place)
    while (cells := _next_record(reader, lines)) is not None:
        if cells:
            if len(cells) != len(header):
                counts = f"{len(cells)} cells where the header has {len(header)} columns"
                refuse(lines.place, f"has {counts}")
            yield dict(zip(header, cells, strict=True))


def _next_record(reader: Any, lines: Lines) -> list[str] | None:
    try:
        record: list[str] | None = next(reader, None)
    except csv.Error as error:
        refuse(lines.place, f"is not well-formed csv: {error}")
    lines.begin_record()
    return record
