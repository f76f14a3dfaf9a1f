"""Reading parquet: what each type becomes, and that no file costs more than it should."""

import datetime as dt
import decimal
import io
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from core.data.parquet_footer import MAX_GROUP_BYTES, read_footer
from core.data.parquet_rows import BATCH_ROWS, parquet_rows
from core.data.parquet_types import described
from core.data.preview import summarize
from core.data.tables import read_rows
from core.data.values import MAX_COLUMNS, MAX_ITEMS, Row
from core.errors import DataError
from tests.core.data.parquet_files import ANSWERS, write_group_size, write_parquet


def rows_of(path: Path, columns: list[str] | None = None) -> list[Row]:
    return list(read_rows(path, "parquet", columns))


def refusal(path: Path, columns: list[str] | None = None) -> DataError:
    with pytest.raises(DataError) as refused:
        rows_of(path, columns)
    return refused.value


NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
BECOMES: list[tuple[str, Any, list[Any]]] = [
    ("strings", pa.array(["a", None, ""]), ["a", None, ""]),
    ("large strings", pa.array(["ü"], pa.large_string()), ["ü"]),
    ("dictionaries", pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
    ("small integers", pa.array([1, None], pa.int8()), [1, None]),
    ("unsigned", pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    ("floats", pa.array([0.5, None], pa.float32()), [0.5, None]),
    ("half floats", pa.array([0.5], pa.float16()), [0.5]),
    ("booleans", pa.array([True, None]), [True, None]),
    ("nulls", pa.nulls(2), [None, None]),
    ("decimals", pa.array([decimal.Decimal("1.50"), None]), ["1.50", None]),
    ("dates", pa.array([dt.date(2026, 1, 2)]), ["2026-01-02"]),
    ("moments", pa.array([NOON], pa.timestamp("s", "UTC")), ["2026-01-02 12:00:00.000Z"]),
    ("times", pa.array([dt.time(1, 2)], pa.time32("s")), ["01:02:00.000"]),
    ("lists", pa.array([["a", None], [], None]), [["a", None], [], None]),
    ("fixed lists", pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [[1, 2], None]),
    ("large lists", pa.array([[0.5]], pa.large_list(pa.float64())), [[0.5]]),
    ("objects", pa.array([ANSWERS, None]), [ANSWERS, None]),
]


@pytest.mark.parametrize(("array", "cells"), [b[1:] for b in BECOMES], ids=[b[0] for b in BECOMES])
def test_what_each_type_becomes(tmp_path: Path, array: Any, cells: list[Any]) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"x": array})
    assert [row["x"] for row in rows_of(path)] == cells


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_row_groups_and_batches_join(tmp_path: Path, compression: str) -> None:
    count = 2 * BATCH_ROWS + 7
    texts = [None if n % 5 == 0 else f"text {n % 900}" for n in range(count)]
    tags = [[n, n + 1][: n % 3] for n in range(count)]
    path = write_parquet(
        tmp_path / "t.parquet",
        {"text": texts, "tags": tags},
        row_group_size=BATCH_ROWS // 2 + 3,
        compression=compression,
    )
    expected = [{"text": x, "tags": y} for x, y in zip(texts, tags, strict=True)]
    assert rows_of(path) == expected
    assert rows_of(path, ["tags"]) == [{"tags": y} for y in tags]


def test_a_column_with_a_dot_is_no_member_of_another(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"a": [{"b": [1]}], "a.b": ["x"], "ab": [2]})
    assert rows_of(path, ["a.b"]) == [{"a.b": "x"}]
    assert rows_of(path, ["a"]) == [{"a": {"b": [1]}}]


UNREADABLE: list[tuple[str, Any, str]] = [
    ("bytes", pa.array([b"x"]), "column 'x' holds bytes"),
    ("lists of bytes", pa.array([[b"x"]]), "column 'x' holds bytes"),
    ("durations", pa.array([1], pa.duration("s")), "'x' has the type duration[s], which cannot"),
    ("deep lists", pa.array([[["a"]]]), "column 'x' is nested too deeply: list<"),
    ("objects in lists", pa.array([[{"a": 1}]]), "column 'x' is nested too deeply: struct<"),
    ("plain members", pa.array([{"a": 1}]), "object whose 'a' is int64, not a list"),
    ("deep members", pa.array([{"a": [[1]]}]), "column 'x' is nested too deeply: list<"),
    ("maps", pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "column 'x' is nested"),
]


@pytest.mark.parametrize(
    ("array", "words"), [u[1:] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE]
)
def test_types_that_no_cell_holds_are_refused_by_name(
    tmp_path: Path, array: Any, words: str
) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"x": array, "y": [1]})
    assert words in refusal(path).message
    assert rows_of(path, ["y"]) == [{"y": 1}]


VALUES: list[tuple[str, Any, str]] = [
    ("NaN", [float("nan")], "a row from 1 to 1 holds a number that is not finite in column 'x'"),
    ("infinite in a list", [[float("inf")]], "a number that is not finite in column 'x'"),
    ("null character", ["a\0"], "a row from 1 to 1 holds a null character"),
    (
        "incomplete object",
        [{"a": [1], "b": [2]}, {"a": [1], "b": None}],
        "an object without one of its lists",
    ),
]


@pytest.mark.parametrize(("cells", "words"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_bad_values_are_refused_by_row(tmp_path: Path, cells: list[Any], words: str) -> None:
    assert words in refusal(write_parquet(tmp_path / "t.parquet", {"x": cells})).message


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, use_dictionary: bool) -> None:
    letters = pa.array([b"ab", b"\xff\xfe"]).view(pa.string())
    path = write_parquet(tmp_path / "t.parquet", {"x": letters}, use_dictionary=use_dictionary)
    assert "that is not UTF-8 in column 'x'" in refusal(path).message


def test_a_list_longer_than_allowed_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"x": [[1] * (MAX_ITEMS + 1)]})
    assert "holds a list of 1000001 items" in refusal(path).message


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for content in (b"", b"text,label\n", b"PAR", b"PAR1", b"PAR1PAR1"):
        path.write_bytes(content)
        assert "not parquet" in (said := refusal(path).message) or "cut off" in said


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "t.parquet", {"x": ["a", "b"]}).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.parquet").write_bytes(whole[:length])
        refusal(tmp_path / "cut.parquet")


def test_a_footer_that_says_it_is_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" + bytes(20 << 20) + (20 << 20).to_bytes(4, "little") + b"PAR1")
    assert "footer takes 20971528 bytes; at most 16 MiB" in refusal(path).message


def test_more_columns_than_allowed_are_refused(tmp_path: Path) -> None:
    columns = {f"c{n}": [1] for n in range(MAX_COLUMNS + 1)}
    path = write_parquet(tmp_path / "t.parquet", columns)
    assert "the schema names 1001 columns; at most 1000" in refusal(path).message


def test_ten_million_columns_are_refused_at_once(tmp_path: Path) -> None:
    """A footer that lists 10⁷ schema elements, of one byte each: thrift's list header and zeros."""
    count = 10_000_000
    elements = bytearray([0x15, 0x02, 0x19, 0xFC])
    while count > 0x7F:
        elements.append(count & 0x7F | 0x80)
        count >>= 7
    footer = bytes(elements) + bytes([count]) + bytes(10_000_000)
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    began = time.process_time()
    assert "footer is too large" in refusal(path).message
    assert time.process_time() - began < 1


def test_a_row_group_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = write_group_size(tmp_path / "t.parquet", MAX_GROUP_BYTES + 1)
    assert (
        "row group 1 of the parquet file takes 2147483649 bytes unpacked" in refusal(path).message
    )


def test_a_text_repeated_millions_of_times_is_held_once(tmp_path: Path) -> None:
    """100,000 rows of one text of 1 MB: 5 KB on disk, 100 GB if each row had its own."""
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * 100_000, pa.int32()), pa.array(["x" * (1 << 20)])
    )
    path = write_parquet(tmp_path / "t.parquet", {"x": text}, compression="zstd")
    before = pa.total_allocated_bytes()
    rows = read_rows(path, "parquet")
    batch = [next(rows)["x"] for _ in range(BATCH_ROWS)]
    assert len({id(cell) for cell in batch}) == 1
    assert pa.total_allocated_bytes() - before < 100 << 20


def test_more_rows_than_a_file_of_its_size_can_hold_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"x": pa.array([1] * 3_000_000)})
    assert path.stat().st_size < 30_000
    assert "claims 3000000 rows; at most" in refusal(path).message


class OneKey(pe.KmsClient):  # type: ignore[misc]
    def wrap_key(self, key: bytes, master: str) -> bytes:
        return key

    def unwrap_key(self, wrapped: bytes, master: str) -> bytes:
        return wrapped


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_file_is_refused_as_such(tmp_path: Path, plaintext_footer: bool) -> None:
    factory = pe.CryptoFactory(lambda _: OneKey())
    properties = factory.file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration(
            footer_key="k",
            column_keys={"k": ["x"]},
            plaintext_footer=plaintext_footer,
            double_wrapping=False,
        ),
    )
    path = tmp_path / "t.parquet"
    table = pa.table({"x": ["a"]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    assert refusal(path).message == "the parquet file is encrypted"


def test_a_preview_of_parquet_counts_as_others_do(tmp_path: Path) -> None:
    columns = {"text": ["a", "bb"], "label": [0, 1], "answers": [ANSWERS, ANSWERS]}
    summary = summarize(write_parquet(tmp_path / "t.parquet", columns), "parquet")
    types = {column.name: column.type for column in summary.columns}
    assert types == {"text": "string", "label": "integer", "answers": "object"}
    assert summary.columns[1].counts == {"0": 1, "1": 1}


def test_a_footer_alone_tells_columns_and_rows(tmp_path: Path) -> None:
    columns = {"t": ["a"], "n": [1], "w": [["a"]], "a": [ANSWERS], "bytes": [b"x"]}
    content = write_parquet(tmp_path / "t.parquet", columns).read_bytes()
    length = int.from_bytes(content[-8:-4], "little") + 8
    footer = read_footer(content[-length:], len(content))
    readable, unreadable = described(footer.schema)
    assert footer.rows == 1
    assert {column.name: column.type for column in readable} == {
        "t": "string",
        "n": "integer",
        "w": "list<string>",
        "a": "object",
    }
    assert readable[3].members == {"text": "list<string>", "answer_start": "list<integer>"}
    assert unreadable["bytes"].message == "column 'bytes' holds bytes"


def test_a_file_is_not_read_whole_for_its_first_row(tmp_path: Path) -> None:
    class Counted(io.FileIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            content = super().read(-1 if size is None else size) or b""
            Counted.taken += len(content)
            return content

    texts = [f"{n:x}" * 40 for n in range(200_000)]
    path = write_parquet(
        tmp_path / "t.parquet", {"x": texts}, row_group_size=1000, compression="none"
    )
    next(parquet_rows(Counted(path)))  # type: ignore[arg-type]
    assert Counted.taken < path.stat().st_size / 10
