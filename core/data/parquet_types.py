"""Which types of a parquet schema can be read as cells."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from core.data.columns import ColumnSummary, ColumnType, ScalarType, list_of
from core.data.values import FLAT, MAX_COLUMNS, check_text
from core.errors import DataError


def check_schema(schema: Any, wanted: Collection[str]) -> None:
    """Raises DataError naming the first wanted column whose type no cell can hold."""
    for field in schema:
        if field.name in wanted:
            _check_cell(field.type, field.name)


def _check_cell(kind: Any, column: str) -> None:
    if pa.types.is_struct(kind):
        _check_object(kind, column)
    elif (items := item_type(kind)) is not None:
        _check_scalar(items, column)
    else:
        _check_scalar(kind, column)


def _check_object(kind: Any, column: str) -> None:
    names = [field.name for field in kind]
    if len(set(names)) < len(names) or not 0 < len(names) <= MAX_COLUMNS:
        raise DataError(f"column {column!r} is an object whose names are doubled, missing or many")
    for field in kind:
        check_text(field.name, f"column {column!r}")
        items = item_type(field.type)
        if items is None:
            what = f"is an object whose {field.name!r} is {field.type}, not a list"
            raise DataError(f"column {column!r} {what}", hint=FLAT)
        _check_scalar(items, column)


def item_type(kind: Any) -> Any:
    """Of a list's items; None for what is no list."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return kind.value_type if any(is_one(kind) for is_one in lists) else None


def _check_scalar(kind: Any, column: str) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind):
        raise DataError(f"column {column!r} is nested too deeply: {str(kind)[:200]}", hint=FLAT)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(f"column {column!r} holds bytes", hint="write texts with the type string")
    if not any(is_one(kind) for is_one in _SCALARS):
        raise DataError(f"column {column!r} has the type {kind}, which cannot be read")


_SCALARS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_null,
)


def described(schema: Any) -> tuple[list[ColumnSummary], dict[str, DataError]]:
    """The columns that can be read, by their types alone, and why the others cannot."""
    readable: list[ColumnSummary] = []
    unreadable: dict[str, DataError] = {}
    for field in schema:
        try:
            check_schema(schema, [field.name])
        except DataError as error:
            unreadable[field.name] = error
        else:
            readable.append(_summary(field))
    return readable, unreadable


def _summary(field: Any) -> ColumnSummary:
    if pa.types.is_struct(field.type):
        members = {member.name: _column_type(member.type) for member in field.type}
        return ColumnSummary(name=field.name, type="object", members=members)
    return ColumnSummary(name=field.name, type=_column_type(field.type))


def _column_type(kind: Any) -> ColumnType:
    items = item_type(kind)
    return _scalar_type(kind) if items is None else list_of(_scalar_type(items))


def _scalar_type(kind: Any) -> ScalarType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    return "empty" if pa.types.is_null(kind) else "string"
