"""Any bytes give rows or a DataError, and nothing else."""

import json
import math
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.hub_layout import chosen_splits
from core.data.parquet_footer import footer_bytes, read_footer
from core.data.preview import first_rows, summarize
from core.data.tables import TableFormat, read_rows
from core.data.values import Row
from core.errors import DataError

FORMATS: list[TableFormat] = ["csv", "jsonl", "parquet"]
EXAMPLES = settings(max_examples=150, deadline=None)


def rows_or_refusal(content: bytes, format: TableFormat) -> list[Row] | None:
    """The rows, or None where the table was refused as it should be."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        try:
            rows = list(read_rows(path, format))
        except DataError:
            return None
        if rows:
            summary = summarize(path, format)
            assert summary.rows == len(rows)
            json.loads(summary.model_dump_json())
            json.dumps(first_rows(path, format), allow_nan=False)
        return rows


def check(rows: list[Row] | None) -> None:
    for row in rows or []:
        assert row.keys() == (rows or [{}])[0].keys()
        for value in row.values():
            check_value(value)


def check_value(value: Any) -> None:
    for items in value.values() if isinstance(value, dict) else [value]:
        for scalar in items if isinstance(items, list) else [items]:
            assert scalar is None or isinstance(scalar, str | int | float | bool)
            assert not isinstance(scalar, float) or math.isfinite(scalar)
            assert not isinstance(scalar, str) or scalar.encode().decode() == scalar


@pytest.mark.parametrize("format", FORMATS)
@EXAMPLES
@given(content=st.binary(max_size=2000))
def test_any_bytes(format: TableFormat, content: bytes) -> None:
    check(rows_or_refusal(content, format))


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@EXAMPLES
@given(content=st.text(alphabet='a1",:[]{}\\\n\r \0ü\ud800truefalsn', max_size=300))
def test_any_text_of_the_formats_own_letters(format: TableFormat, content: str) -> None:
    check(rows_or_refusal(content.encode(errors="surrogatepass"), format))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@EXAMPLES
@given(lines=st.lists(st.dictionaries(st.text("ab", min_size=1, max_size=2), TREES), max_size=4))
def test_any_json(lines: list[dict[str, Any]]) -> None:
    check(rows_or_refusal("\n".join(map(json.dumps, lines)).encode(), "jsonl"))


def parquet_bytes() -> bytes:
    table = pa.table(
        {
            "text": ["one", None, "three"] * 20,
            "label": pa.array([1, 2, 3] * 20, pa.int32()),
            "tokens": [["a", "b"], [], None] * 20,
            "answers": [{"text": ["x"], "start": [1]}, None, {"text": [], "start": []}] * 20,
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=25)
    return bytes(sink.getvalue().to_pybytes())


WHOLE = parquet_bytes()
PLACES = st.integers(0, len(WHOLE) - 1)


@settings(max_examples=600, deadline=None)
@given(changes=st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_parquet_file(changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for place, byte in changes:
        content[place] = byte
    check(rows_or_refusal(bytes(content), "parquet"))


@EXAMPLES
@given(start=PLACES, length=st.integers(0, 200), inserted=st.binary(max_size=20))
def test_a_parquet_file_cut_and_spliced(start: int, length: int, inserted: bytes) -> None:
    content = WHOLE[:start] + inserted + WHOLE[start + length :]
    check(rows_or_refusal(content, "parquet"))


@EXAMPLES
@given(end=st.binary(max_size=300), size=st.integers(0, 10**12))
def test_any_footer(end: bytes, size: int) -> None:
    framed = end + len(end).to_bytes(4, "little") + b"PAR1"
    with suppress(DataError):
        assert footer_bytes(framed[-8:], size) == len(framed)
        read_footer(framed, size)


SEGMENT = st.text("tainval-0.", max_size=8) | st.sampled_from(["data", "train", "..", ""])


@EXAMPLES
@given(names=st.lists(st.lists(SEGMENT, max_size=4).map("/".join)), config=st.none() | SEGMENT)
def test_any_file_names_of_a_hub(names: list[str], config: str | None) -> None:
    files = [f"{name}.parquet" for name in names]
    with suppress(DataError):
        splits = chosen_splits(files, config)
        assert all(file in files for chosen in splits.values() for file in chosen)
        assert all("/" not in split and ".." not in split for split in splits)
