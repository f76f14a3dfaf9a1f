"""Reading csv and jsonl tables row by row, refusing what a later stage could not use.

Every refusal is a DataError that names the line, counted from 1 in the file.
"""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

from core.errors import DataError

TableFormat = Literal["csv", "jsonl"]
Value = str | int | float | bool | None
Row = dict[str, Value]

SUFFIXES: dict[str, TableFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
MAX_COLUMNS = 1000
MAX_LINE_BYTES = 16 << 20

csv.field_size_limit(MAX_LINE_BYTES)


def format_of(name: str) -> TableFormat | None:
    """What a file's name says it holds."""
    return SUFFIXES.get(Path(name).suffix.lower())


def read_rows(path: Path, format: TableFormat) -> Iterator[Row]:
    """The table's rows, in file order; csv cells are strings, jsonl values keep their types.

    Every row has the same columns: those of a csv's header, or of a jsonl's first line.
    """
    with path.open("rb") as file:
        yield from (_csv_rows if format == "csv" else _jsonl_rows)(file)


def _csv_rows(file: BinaryIO) -> Iterator[Row]:
    reader = csv.reader((text for _, text in _lines(file)), strict=True)
    header: list[str] | None = None
    while (cells := _next_record(reader)) is not None:
        if header is None:
            header = _checked_columns(cells, reader.line_num)
        elif cells:
            if len(cells) != len(header):
                counts = f"{len(cells)} cells where the header has {len(header)} columns"
                _refuse(reader.line_num, f"has {counts}")
            yield dict(zip(header, cells, strict=True))
    if header is None:
        raise DataError("the file is empty", hint="the first line names the columns")


def _next_record(reader: Any) -> list[str] | None:
    try:
        record: list[str] | None = next(reader, None)
    except csv.Error as error:
        _refuse(reader.line_num, f"is not well-formed csv: {error}")
    return record


def _jsonl_rows(file: BinaryIO) -> Iterator[Row]:
    columns: list[str] | None = None
    for line, text in _lines(file):
        if not text.strip():
            continue
        row = _parsed_object(line, text)
        if columns is None:
            columns = _checked_columns(list(row), line)
        if row.keys() != set(columns):
            _refuse(line, "does not have the columns of the first line")
        yield {column: _checked_value(line, column, row[column]) for column in columns}
    if columns is None:
        raise DataError("the file is empty", hint="each line is one JSON object")


def _parsed_object(line: int, text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        _refuse(line, f"is not well-formed JSON: {error}")
    if not isinstance(parsed, dict):
        _refuse(line, "is not a JSON object")
    return parsed


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name appears twice in one object")
    return dict(pairs)


def _checked_value(line: int, column: str, value: Any) -> Value:
    if isinstance(value, dict | list):
        _refuse(line, f"holds an {_nested_kind(value)} in column {column!r}, not a plain value")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(line, f"holds a number that is not finite in column {column!r}")
    if isinstance(value, str):
        _check_text(line, value)
    checked: Value = value
    return checked


def _nested_kind(value: dict[str, Any] | list[Any]) -> str:
    return "object" if isinstance(value, dict) else "array"


def _checked_columns(names: list[str], line: int) -> list[str]:
    if len(names) > MAX_COLUMNS:
        _refuse(line, f"names {len(names)} columns; at most {MAX_COLUMNS} are allowed")
    if not names:
        _refuse(line, "names no columns")
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        _check_text(line, name)
        if not name.strip():
            _refuse(line, f"gives column {position} no name")
        if name in seen:
            _refuse(line, f"names column {name!r} twice")
        seen.add(name)
    return names


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """(line number, text with its line ending), decoded strictly as UTF-8."""
    offset, line = 0, 1
    while raw := file.readline(MAX_LINE_BYTES + 1):
        if len(raw) > MAX_LINE_BYTES:
            _refuse(line, f"is longer than {MAX_LINE_BYTES >> 20} MiB")
        text = _decoded(raw, line, offset)
        yield line, text.removeprefix("\ufeff") if line == 1 else text
        offset, line = offset + len(raw), line + 1


def _decoded(raw: bytes, line: int, offset: int) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {offset + error.start} of the file is 0x{raw[error.start]:02x}"
        _refuse(line, f"is not UTF-8: {byte}", hint="save the file in UTF-8")
    _check_text(line, text)
    return text


def _check_text(line: int, text: str) -> None:
    if "\0" in text:
        _refuse(line, "holds a null character")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        _refuse(line, "holds half of a surrogate pair")


def _refuse(line: int, what: str, hint: str | None = None) -> NoReturn:
    raise DataError(f"line {line} {what}", hint=hint)
