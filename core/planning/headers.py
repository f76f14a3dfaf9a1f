"""What a safetensors file says about itself: names, shapes and dtypes, without its numbers.

Format: eight bytes of little-endian length n, n bytes of JSON, then the tensors back to back.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import ModelError

MAX_HEADER_BYTES = 16 * 2**20
MAX_TENSORS = 100_000
LENGTH_BYTES = 8
ITEM_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True)
class TensorInfo:
    shape: tuple[int, ...]
    dtype: str
    """As safetensors writes it: F32, BF16, I64, …"""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * ITEM_BYTES[self.dtype]


Tensors = dict[str, TensorInfo]
"""By name."""


def refused(message: str, hint: str | None = None) -> ModelError:
    return ModelError(message, hint=hint, pointer="/model/path")


def shown(name: str) -> str:
    """A name from a file of the model, safe to print at any length and in any encoding."""
    return repr(name[:80])


def parse_object(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in a file of the model; anything else is refused by the file's name."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise refused(f"{name} does not hold valid JSON") from error
    if not isinstance(parsed, dict):
        raise refused(f"{name} does not hold a JSON object")
    return parsed


def read_header(read: Callable[[int, int], bytes], file_bytes: int, name: str) -> Tensors:
    """The tensors of one safetensors file in the order of their bytes.

    `read` gives the bytes of a span: (start, length). Raises ModelError where the header is over
    16 MB, malformed, or disagrees with the file's size.
    """
    length = _header_length(read(0, LENGTH_BYTES), file_bytes, name)
    entries = parse_object(read(LENGTH_BYTES, length), name)
    entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise refused(f"{name} lists {len(entries):,} tensors; {MAX_TENSORS:,} are allowed")
    return _laid_out(entries, file_bytes - LENGTH_BYTES - length, name)


def _header_length(prefix: bytes, file_bytes: int, name: str) -> int:
    if len(prefix) < LENGTH_BYTES:
        raise refused(f"{name} is too short to be a safetensors file")
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER_BYTES:
        raise refused(f"the header of {name} is over {MAX_HEADER_BYTES >> 20} MB")
    if length > file_bytes - LENGTH_BYTES:
        raise refused(f"{name} is truncated: it ends inside its header")
    return int(length)


def _laid_out(entries: dict[str, Any], data_bytes: int, name: str) -> dict[str, TensorInfo]:
    """Tensors sorted by offset; they must follow each other without gaps up to the file's end."""
    spans = sorted((*_span(entry, name), tensor) for tensor, entry in entries.items())
    end = 0
    for start, stop, tensor in spans:
        if start != end:
            raise refused(f"{name}: tensor {shown(tensor)} overlaps its neighbour or leaves a gap")
        end = stop
    if end != data_bytes:
        raise refused(f"{name} is truncated or padded: {end} bytes described, {data_bytes} there")
    return {tensor: _tensor_info(entries[tensor], name, tensor) for *_, tensor in spans}


def _span(entry: Any, name: str) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_count, offsets))):
        raise refused(f"{name}: a tensor has no valid data_offsets")
    return offsets[0], offsets[1]


def _tensor_info(entry: dict[str, Any], name: str, tensor: str) -> TensorInfo:
    shape, dtype = entry.get("shape"), entry.get("dtype")
    if not (isinstance(shape, list) and len(shape) <= 8 and all(map(_is_count, shape))):
        raise refused(f"{name}: tensor {shown(tensor)} has no valid shape")
    if not (isinstance(dtype, str) and dtype in ITEM_BYTES):
        raise refused(f"{name}: tensor {shown(tensor)} has an unknown dtype")
    info = TensorInfo(tuple(shape), dtype)
    start, stop = entry["data_offsets"]
    if stop - start != info.bytes:
        raise refused(f"{name}: tensor {shown(tensor)} has more or fewer bytes than its shape")
    return info


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62
