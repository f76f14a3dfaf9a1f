"""Parquet files as pyarrow writes them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ANSWERS = {"text": ["a film"], "answer_start": [2]}


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A table of these columns, lists of cells or pyarrow arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def write_group_size(path: Path, claimed: int) -> Path:
    """A one-column file whose footer claims that its row group unpacks to so many bytes.

    The honest size is found in the footer as thrift writes integers, and replaced.
    """
    write_parquet(path, {"text": ["x" * 3000]}, compression="none", use_dictionary=False)
    honest = pq.read_metadata(path).row_group(0).total_byte_size
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little")
    body, end = content[: -footer - 8], content[-footer - 8 : -8]
    assert zigzag(honest) in end
    end = end.replace(zigzag(honest), zigzag(claimed))
    path.write_bytes(body + end + len(end).to_bytes(4, "little") + b"PAR1")
    return path


def zigzag(number: int) -> bytes:
    """An integer as thrift's compact protocol writes it."""
    rest = number << 1
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*written, rest])
