"""A parquet file's footer: bounded before it is parsed, and what it says of columns and rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.data.values import checked_columns, refuse
from core.errors import DataError

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
TRAILER_BYTES = 8
USUAL_FOOTER_BYTES = 64 << 10
"""Enough of a file's end to hold most footers."""
MAX_FOOTER_BYTES = 16 << 20
MAX_FOOTER_ITEMS = 100_000
MAX_DEPTH = 10
"""Of the schema as stored: an object of lists of texts takes five levels."""
MAX_GROUP_BYTES = 2 << 30
MAX_UNPACKED_BYTES = 32 << 30
MAX_ROWS = 100_000_000
FREE_ROWS, ROWS_PER_BYTE = 100_000, 64
"""At most this many rows in any file, and so many more for each of its bytes."""
SMALLER = "write it with smaller row groups"
ENCRYPTED = "the parquet file is encrypted"
LIMITS: dict[str, int] = {
    "thrift_string_size_limit": MAX_FOOTER_BYTES,
    "thrift_container_size_limit": MAX_FOOTER_ITEMS,
    "schema_depth_limit": MAX_DEPTH,
}
"""For the parquet library's own parser."""


@dataclass(frozen=True)
class Footer:
    rows: int
    schema: Any
    """A pyarrow.Schema, its columns' names checked."""
    text_leaves: tuple[str, ...]
    """The dotted paths of the columns that hold texts or bytes."""


def footer_bytes(trailer: bytes, size: int) -> int:
    """How many bytes at the end of a file of `size` bytes its footer takes, by the last eight.

    Raises:
        DataError: they are not a parquet file's, or the footer is larger than is read.
    """
    if trailer[4:] == ENCRYPTED_MAGIC:
        raise DataError(ENCRYPTED, hint="save it without encryption")
    footer = int.from_bytes(trailer[:4], "little") + TRAILER_BYTES
    if trailer[4:] != MAGIC or footer + len(MAGIC) > size:
        raise DataError("the parquet file is cut off: its footer is missing", hint="send it again")
    if footer > MAX_FOOTER_BYTES:
        limit = f"at most {MAX_FOOTER_BYTES >> 20} MiB are read"
        hint = "use fewer columns or fewer row groups"
        raise DataError(f"the parquet file's footer takes {footer} bytes; {limit}", hint=hint)
    return footer


def read_footer(end: bytes, size: int) -> Footer:
    """What the footer says, from the end of a file of `size` bytes, as long as `footer_bytes`.

    Raises:
        DataError: it is damaged, or claims what is not read: too many columns or rows, or far more
            bytes than the file has.
    """
    with refusing_damage():
        opened = pq.ParquetFile(pa.BufferReader(end), arrow_extensions_enabled=False, **LIMITS)
        _check_claims(opened.metadata, size)
        schema = opened.schema_arrow
        checked_columns(list(schema.names), "the schema")
        return Footer(opened.metadata.num_rows, schema, tuple(_text_leaves(opened.schema)))


def _text_leaves(schema: Any) -> Iterator[str]:
    for position in range(len(schema.names)):
        leaf = schema.column(position)
        if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type != "DECIMAL":
            yield leaf.path


def _check_claims(metadata: Any, size: int) -> None:
    """Refuse what would unpack to far more than the file."""
    most = min(MAX_ROWS, FREE_ROWS + ROWS_PER_BYTE * size)
    if not 0 <= metadata.num_rows <= most:
        limit = f"at most {most} are read of a file of its size"
        raise DataError(f"the parquet file claims {metadata.num_rows} rows; {limit}")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for number, group in enumerate(groups, start=1):
        _check_group(group, f"row group {number} of the parquet file")
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > MAX_UNPACKED_BYTES:
        limit = f"at most {MAX_UNPACKED_BYTES >> 30} GiB are read"
        raise DataError(f"the parquet file takes {unpacked} bytes unpacked; {limit}")


def _check_group(group: Any, place: str) -> None:
    claimed = group.total_byte_size
    if not 0 <= claimed <= MAX_GROUP_BYTES:
        limit = f"at most {MAX_GROUP_BYTES >> 30} GiB are unpacked"
        refuse(place, f"takes {claimed} bytes unpacked; {limit}", hint=SMALLER)


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Whatever the parquet library says of the file's bytes, said as a DataError."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError("a name in the parquet file's footer is not UTF-8") from None
    except MemoryError:
        raise DataError("the parquet file takes too much memory to read", hint=SMALLER) from None
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        raise _damage(str(error)) from None


def _damage(said: str) -> DataError:
    if "ncrypt" in said or "decrypt" in said:
        return DataError(ENCRYPTED, hint="save it without encryption")
    if "xceeded size limit" in said or "MaxMessageSize" in said:
        limit = f"at most {MAX_FOOTER_ITEMS} columns or row groups are read"
        return DataError(f"the parquet file's footer is too large: {limit}")
    if "schema depth" in said.lower():
        return DataError("the parquet file's schema is nested too deeply")
    first = said.strip().splitlines()[0][:200] if said.strip() else "it cannot be read"
    return DataError(f"the parquet file is damaged: {first}", hint="write it again")
