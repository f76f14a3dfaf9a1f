"""Reading tables row by row, refusing what a later stage could not use.

Every refusal is a DataError that names the line, counted from 1 in the file, or the row.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from core.data.csv_rows import csv_rows
from core.data.jsonl_rows import jsonl_rows
from core.data.parquet_rows import parquet_rows
from core.data.values import Row, Scalar, Value
from core.errors import DataError

__all__ = ["Row", "Scalar", "TableFormat", "Value", "format_of", "read_rows"]

TableFormat = Literal["csv", "jsonl", "parquet"]

SUFFIXES: dict[str, TableFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
OTHERS = {
    b"PAR1": "a parquet file",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"SQLite format 3": "a database",
    b"ARROW1": "an Arrow file",
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
}
"""How files begin that are given names of tables."""
LOOKED_AT_BYTES = 64 << 10


def format_of(name: str) -> TableFormat | None:
    """What a file's name says it holds."""
    return SUFFIXES.get(Path(name).suffix.lower())


def read_rows(
    path: Path, format: TableFormat, columns: Collection[str] | None = None
) -> Iterator[Row]:
    """The table's rows, in file order; csv cells are strings, other values keep their types.

    Every row has the same columns: those of a csv's header, a jsonl's first line, or a parquet
    file's schema; of these only `columns`, where it is given, and what the others hold is not
    looked at.
    """
    with path.open("rb") as file:
        _check_beginning(file, format)
        if format == "parquet":
            yield from parquet_rows(file, columns)
        elif format == "jsonl":
            yield from jsonl_rows(file, columns)
        else:
            yield from _chosen(csv_rows(file), columns)


def _chosen(rows: Iterator[Row], columns: Collection[str] | None) -> Iterator[Row]:
    if columns is None:
        yield from rows
    else:
        for row in rows:
            yield {name: value for name, value in row.items() if name in columns}


def _check_beginning(file: BinaryIO, format: TableFormat) -> None:
    """Refuse a file that is plainly something else than its name says."""
    beginning = file.read(LOOKED_AT_BYTES)
    file.seek(0)
    if format == "parquet":
        return
    other = next((what for magic, what in OTHERS.items() if beginning.startswith(magic)), None)
    if other is None and format == "csv" and _is_object(beginning.split(b"\n", 1)[0]):
        other = "a jsonl file"
    if other is not None:
        raise DataError(f"the file is {other}, not {format}", hint=_remedy(other, format))


def _is_object(line: bytes) -> bool:
    try:
        return line[:1] == b"{" and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _remedy(other: str, format: TableFormat) -> str:
    right = {"a parquet file": ".parquet", "a jsonl file": ".jsonl"}.get(other)
    if right is not None:
        return f"name it {right}, or give its format"
    return f"save it as {format} in UTF-8, uncompressed"
