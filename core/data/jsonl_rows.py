"""Rows of a jsonl: one JSON object a line, all with the first one's names."""

import json
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from core.data.lines import Lines
from core.data.values import Row, checked_columns, checked_value, refuse
from core.errors import DataError

MAX_NAMES = 100_000
MAX_BRACKETS = 1_000_000
"""Of one line, counted before it is parsed: what texts and their lists stay far below."""


def jsonl_rows(file: BinaryIO, columns: Collection[str] | None = None) -> Iterator[Row]:
    """Values keep their types. Raises DataError naming the line."""
    lines = Lines(file)
    names: list[str] | None = None
    for text in lines:
        lines.begin_record()
        if not text.strip():
            continue
        row = _parsed_object(text, lines.place)
        if names is None:
            names = checked_columns(list(row), lines.place)
        if row.keys() != set(names):
            refuse(lines.place, "does not have the columns of the first line")
        wanted = (name for name in names if columns is None or name in columns)
        yield {name: checked_value(row[name], name, lines.place) for name in wanted}
    if names is None:
        raise DataError("the file is empty", hint="each line is one JSON object")


def _parsed_object(text: str, place: str) -> dict[str, Any]:
    _check_counts(text, place)
    try:
        parsed = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        refuse(place, f"is not well-formed JSON: {error}")
    if not isinstance(parsed, dict):
        refuse(place, "is not a JSON object", hint="each line is one object, without brackets")
    return parsed


def _check_counts(text: str, place: str) -> None:
    if text.count('":') - text.count('\\":') > MAX_NAMES:
        refuse(place, f"holds more than {MAX_NAMES} names")
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        refuse(place, f"holds more than {MAX_BRACKETS} lists and objects")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name appears twice in one object")
    return dict(pairs)
