"""What a cell may hold, and the checks that every format shares. Refusals are DataErrors."""

import math
from typing import Any, NoReturn

from core.errors import DataError

Scalar = str | int | float | bool | None
Value = Scalar | list[Scalar] | dict[str, list[Scalar]]
"""A plain value, a list of them, or an object of such lists; nothing deeper."""
Row = dict[str, Value]

MAX_COLUMNS = 1000
MAX_NAME_CHARACTERS = 256
MAX_CELL_CHARACTERS = 16 << 20
MAX_ITEMS = 1_000_000
"""Of one list."""


def checked_columns(names: list[str], place: str) -> list[str]:
    """The names themselves, if each is there once and can be written in a recipe."""
    if len(names) > MAX_COLUMNS:
        refuse(place, f"names {len(names)} columns; at most {MAX_COLUMNS} are allowed")
    if not names:
        refuse(place, "names no columns")
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        check_text(name, place)
        if not name.strip():
            refuse(place, f"gives column {position} no name")
        if len(name) > MAX_NAME_CHARACTERS:
            limit = f"at most {MAX_NAME_CHARACTERS} characters are allowed"
            refuse(place, f"gives column {position} a name of {len(name)} characters; {limit}")
        if name in seen:
            refuse(place, f"names column {name!r} twice")
        seen.add(name)
    return names


def checked_value(value: Any, column: str, place: str) -> Value:
    """The parsed value itself, if it is nested no deeper than a `Value` may be."""
    if isinstance(value, dict):
        for name, items in value.items():
            check_text(name, place)
            if not isinstance(items, list):
                what = f"an object whose {name!r} is no list in column {column!r}"
                refuse(place, f"holds {what}", hint='like {"text": ["…"], "start": [3]}')
            _check_items(items, column, place)
    elif isinstance(value, list):
        _check_items(value, column, place)
    else:
        check_scalar(value, column, place)
    checked: Value = value
    return checked


def _check_items(items: list[Any], column: str, place: str) -> None:
    if len(items) > MAX_ITEMS:
        refuse(place, f"holds a list of {len(items)} items in column {column!r}")
    for item in items:
        if isinstance(item, dict | list):
            kind = "an object" if isinstance(item, dict) else "a list"
            refuse(place, f"holds {kind} inside a list in column {column!r}", hint=FLAT)
        check_scalar(item, column, place)


FLAT = "a cell holds a plain value, a list of plain values, or an object of such lists"


def check_scalar(value: Any, column: str, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        refuse(place, f"holds a number that is not finite in column {column!r}")
    if isinstance(value, str):
        check_text(value, place)


def check_text(text: str, place: str) -> None:
    if "\0" in text:
        refuse(place, "holds a null character")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        refuse(place, "holds half of a surrogate pair")


def refuse(place: str, what: str, hint: str | None = None) -> NoReturn:
    """`place` is a line of the file, a row or the file itself: what a person would look for."""
    raise DataError(f"{place} {what}", hint=hint)
