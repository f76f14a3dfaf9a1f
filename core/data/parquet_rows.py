"""Rows of a parquet file, streamed by row groups, its footer bounded before it is parsed.

Texts are read as dictionaries: however often a file repeats a text, it is held once.
"""

from collections.abc import Collection, Iterator
from os import SEEK_END
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.data.parquet_footer import (
    ENCRYPTED,
    ENCRYPTED_MAGIC,
    LIMITS,
    MAGIC,
    TRAILER_BYTES,
    Footer,
    footer_bytes,
    read_footer,
    refusing_damage,
)
from core.data.parquet_types import check_schema, item_type
from core.data.values import MAX_CELL_CHARACTERS, MAX_ITEMS, Row, Value, check_text, refuse
from core.errors import DataError

BATCH_ROWS = 1024
BUFFER_BYTES = 1 << 16


def parquet_rows(file: BinaryIO, columns: Collection[str] | None = None) -> Iterator[Row]:
    """Values keep their types; decimals, dates and times become text.

    Raises DataError naming the column, and the row where it can.
    """
    footer = footer_of(file)
    wanted = [name for name in footer.schema.names if columns is None or name in columns]
    check_schema(footer.schema, wanted)
    with refusing_damage():
        yield from _rows(_opened(file, footer), wanted, footer.rows)


def footer_of(file: BinaryIO) -> Footer:
    """The footer of a file that begins and ends as parquet files do; raises DataError."""
    file.seek(0)
    beginning = file.read(len(MAGIC))
    if beginning == ENCRYPTED_MAGIC:
        raise DataError(ENCRYPTED, hint="save it without encryption")
    if beginning != MAGIC:
        raise DataError("the file is not parquet: it does not begin with PAR1")
    size = file.seek(0, SEEK_END)
    end = footer_bytes(_end(file, TRAILER_BYTES, size), size)
    return read_footer(_end(file, end, size), size)


def _end(file: BinaryIO, length: int, size: int) -> bytes:
    file.seek(max(0, size - length))
    return file.read(length)


def _opened(file: BinaryIO, footer: Footer) -> Any:
    file.seek(0)
    return pq.ParquetFile(
        file,
        read_dictionary=list(footer.text_leaves),
        buffer_size=BUFFER_BYTES,
        pre_buffer=False,
        arrow_extensions_enabled=False,
        **LIMITS,
    )


def _rows(opened: Any, wanted: list[str], claimed: int) -> Iterator[Row]:
    read = 0
    for batch in opened.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
        place = f"a row from {read + 1} to {read + batch.num_rows}"
        cells = [_cells(batch.column(name), name, place) for name in wanted]
        for values in zip(*cells, strict=True):
            yield dict(zip(wanted, values, strict=True))
        read += batch.num_rows
    if read != claimed:
        raise DataError(f"the parquet file holds {read} rows where its footer says {claimed}")


def _cells(array: Any, column: str, place: str) -> list[Any]:
    """The array's values as Python's own."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _repeated(array, column, place)
    if pa.types.is_struct(kind):
        return _objects(array, column, place)
    if item_type(kind) is not None:
        return _lists(array, column, place)
    if pa.types.is_floating(kind):
        return _numbers(array, column, place)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        array = array.cast(pa.timestamp(kind.unit, tz="UTC"))
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        return _texts(array.cast(pa.large_string()), column, place)
    plain: list[Any] = array.to_pylist()
    return plain


def _repeated(array: Any, column: str, place: str) -> list[Any]:
    """Equal cells share one object."""
    used = array.indices.unique().drop_null()
    values = _cells(array.dictionary.take(used), column, place)
    by_code = dict(zip(used.to_pylist(), values, strict=True))
    return [by_code.get(code) for code in array.indices.to_pylist()]


def _texts(array: Any, column: str, place: str) -> list[Any]:
    longest = pc.max(pc.binary_length(array)).as_py() or 0
    if longest > MAX_CELL_CHARACTERS:
        refuse(place, f"holds a text of {longest} bytes in column {column!r}")
    try:
        texts: list[str | None] = array.to_pylist()
    except UnicodeDecodeError:
        refuse(place, f"holds text that is not UTF-8 in column {column!r}")
    for text in texts:
        if text is not None:
            check_text(text, place)
    return texts


def _numbers(array: Any, column: str, place: str) -> list[Any]:
    wide = array.cast(pa.float64())
    if not pc.all(pc.is_finite(wide), min_count=0).as_py():
        refuse(place, f"holds a number that is not finite in column {column!r}")
    numbers: list[Any] = wide.to_pylist()
    return numbers


def _lists(array: Any, column: str, place: str) -> list[Value]:
    lengths = pc.list_value_length(array).to_pylist()
    longest = max((length for length in lengths if length is not None), default=0)
    if longest > MAX_ITEMS:
        refuse(place, f"holds a list of {longest} items in column {column!r}")
    items = iter(_cells(array.flatten(), column, place))
    return [None if n is None else [next(items) for _ in range(n)] for n in lengths]


def _objects(array: Any, column: str, place: str) -> list[Value]:
    names = [field.name for field in array.type]
    members = [_cells(member, column, place) for member in array.flatten()]
    objects: list[Value] = []
    for present, *lists in zip(array.is_valid().to_pylist(), *members, strict=True):
        if present and None in lists:
            refuse(place, f"holds an object without one of its lists in column {column!r}")
        objects.append(dict(zip(names, lists, strict=True)) if present else None)
    return objects
