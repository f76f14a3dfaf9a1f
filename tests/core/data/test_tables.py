"""Reading csv and jsonl: what is yielded, and the words of each refusal."""

import time
import tracemalloc
from pathlib import Path

import pytest

from core.data.tables import TableFormat, format_of, read_rows
from core.data.values import MAX_COLUMNS, MAX_ITEMS, Row
from core.errors import DataError


def rows_of(tmp_path: Path, content: bytes, format: TableFormat) -> list[Row]:
    path = tmp_path / f"table.{format}"
    path.write_bytes(content)
    return list(read_rows(path, format))


def test_csv_cells_are_strings(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, b"text,label\nhello,1\n", "csv")
    assert rows == [{"text": "hello", "label": "1"}]


def test_csv_quotes_line_breaks_bom_and_blank_lines(tmp_path: Path) -> None:
    content = '\ufefftext,label\r\n"a, ""b""\nc",x\r\n\r\nd,y'.encode()
    rows = rows_of(tmp_path, content, "csv")
    assert rows == [{"text": 'a, "b"\nc', "label": "x"}, {"text": "d", "label": "y"}]


def test_jsonl_values_keep_their_types(tmp_path: Path) -> None:
    content = b'{"t": "a", "n": 1, "f": 0.5, "b": true, "z": null}\n\n'
    assert rows_of(tmp_path, content, "jsonl") == [
        {"t": "a", "n": 1, "f": 0.5, "b": True, "z": None}
    ]


def test_jsonl_rows_come_in_the_first_lines_order(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, b'{"a":1,"b":2}\n{"b":3,"a":4}\n', "jsonl")
    assert [list(row) for row in rows] == [["a", "b"], ["a", "b"]]


def test_format_follows_the_suffix() -> None:
    assert format_of("A.CSV") == "csv"
    assert format_of("a.b.ndjson") == "jsonl"
    assert format_of("a.parquet") == "parquet"
    assert format_of("a.txt") is None


def test_jsonl_holds_lists_and_objects_of_lists(tmp_path: Path) -> None:
    content = b'{"w": ["a", null, 1], "e": [], "o": {"text": ["x"], "answer_start": [3]}}\n'
    (row,) = rows_of(tmp_path, content, "jsonl")
    assert row == {"w": ["a", None, 1], "e": [], "o": {"text": ["x"], "answer_start": [3]}}


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_chosen_columns_alone_are_read_and_checked(tmp_path: Path, format: TableFormat) -> None:
    content = {"csv": b"a,b\n1,2\n", "jsonl": b'{"a":"1","b":[[1]]}\n'}[format]
    path = tmp_path / f"table.{format}"
    path.write_bytes(content)
    assert list(read_rows(path, format, columns=["a", "c"])) == [{"a": "1"}]


TOO_WIDE = ",".join(f"c{n}" for n in range(MAX_COLUMNS + 1)).encode()
REFUSED: list[tuple[str, TableFormat, bytes, str]] = [
    ("empty csv", "csv", b"", "the file is empty"),
    ("blank csv", "csv", b"\n", "line 1 names no columns"),
    ("doubled column", "csv", b"a,a\n1,2\n", "line 1 names column 'a' twice"),
    ("unnamed column", "csv", b"a,\n1,2\n", "line 1 gives column 2 no name"),
    ("short row", "csv", b"a,b\n1,2\n3\n", "line 3 has 1 cells where the header has 2"),
    ("long row", "csv", b"a,b\n1,2,3\n", "line 2 has 3 cells where the header has 2"),
    ("open quote", "csv", b'a,b\n"1,2\n', "is not well-formed csv"),
    ("not UTF-8", "csv", b"a,b\n1,\xff\n", "line 2 is not UTF-8: byte 6 of the file is 0xff"),
    ("latin 1", "csv", "a,b\n1,ü\n".encode("latin-1"), "line 2 is not UTF-8"),
    ("null character", "csv", b"a,b\n1,\0\n", "line 2 holds a null character"),
    ("too wide", "csv", TOO_WIDE, "names 1001 columns; at most 1000"),
    ("empty jsonl", "jsonl", b"\n\n", "the file is empty"),
    ("not JSON", "jsonl", b'{"a":1}\n{a}\n', "line 2 is not well-formed JSON"),
    ("an array", "jsonl", b"[1]\n", "line 1 is not a JSON object"),
    ("no columns", "jsonl", b"{}\n", "line 1 names no columns"),
    ("plain member", "jsonl", b'{"a":{"b":1}}\n', "object whose 'b' is no list in column 'a'"),
    (
        "list in a list",
        "jsonl",
        b'{"a":[[1]]}\n',
        "line 1 holds a list inside a list in column 'a'",
    ),
    ("object in a list", "jsonl", b'{"a":[{}]}\n', "line 1 holds an object inside a list"),
    ("deep member", "jsonl", b'{"a":{"b":[[]]}}\n', "line 1 holds a list inside a list"),
    ("NaN in a list", "jsonl", b'{"a":[NaN]}\n', "a number that is not finite in column 'a'"),
    ("null in a list", "jsonl", b'{"a":["\\u0000"]}\n', "line 1 holds a null character"),
    ("many items", "jsonl", b'{"a":[' + b"1," * MAX_ITEMS + b"1]}\n", "a list of 1000001 items"),
    ("long name", "csv", b"x" * 257 + b"\n1\n", "a name of 257 characters"),
    ("parquet as csv", "csv", b"PAR1\x15\x04", "the file is a parquet file, not csv"),
    ("zip as csv", "csv", b"PK\x03\x04", "a zip archive or a spreadsheet, not csv"),
    ("gzip as jsonl", "jsonl", b"\x1f\x8b\x08", "compressed with gzip, not jsonl"),
    ("UTF-16", "csv", "a,b\n".encode("utf-16"), "the file is in UTF-16"),
    ("jsonl as csv", "csv", b'{"a":1,"b":2}\n', "the file is a jsonl file, not csv"),
    ("csv as jsonl", "jsonl", b"a,b\n1,2\n", "line 1 is not well-formed JSON"),
    ("other columns", "jsonl", b'{"a":1}\n{"b":1}\n', "line 2 does not have the columns"),
    ("doubled name", "jsonl", b'{"a":1,"a":2}\n', "a name appears twice"),
    ("infinite", "jsonl", b'{"a":1e999}\n', "a number that is not finite in column 'a'"),
    ("NaN", "jsonl", b'{"a":NaN}\n', "a number that is not finite in column 'a'"),
    ("half a pair", "jsonl", b'{"a":"\\ud800"}\n', "line 1 holds half of a surrogate pair"),
    ("escaped null", "jsonl", b'{"a":"\\u0000"}\n', "line 1 holds a null character"),
    ("deep", "jsonl", b"[" * 100_000 + b"\n", "line 1 is not well-formed JSON"),
    ("long number", "jsonl", b'{"a":' + b"1" * 5000 + b"}\n", "line 1 is not well-formed JSON"),
]


@pytest.mark.parametrize(
    ("format", "content", "message"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_bad_tables_are_refused_by_line(
    tmp_path: Path, format: TableFormat, content: bytes, message: str
) -> None:
    with pytest.raises(DataError) as refused:
        rows_of(tmp_path, content, format)
    assert message in refused.value.message


def test_a_line_longer_than_allowed_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.lines.MAX_RECORD_BYTES", 1 << 20)
    with pytest.raises(DataError, match="line 2 is longer than 1 MiB"):
        rows_of(tmp_path, b"a\n" + b"a" * (2 << 20), "csv")


def test_a_quotation_over_many_lines_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.lines.MAX_RECORD_BYTES", 1 << 20)
    with pytest.raises(DataError, match="line 1025 is longer than 1 MiB"):
        rows_of(tmp_path, b'a\n"' + (b"x" * 1023 + b"\n") * 2048 + b'"\n', "csv")


WIDE = 10_000_000


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("csv", b"," * WIDE + b"\n"),
        ("csv", b"c," * WIDE + b"\n"),
        ("jsonl", b"{" + b'"":0,' * (WIDE // 4) + b"}\n"),
        ("jsonl", b'{"x":[' + b"[]," * (WIDE // 2) + b"[]]}\n"),
    ],
    ids=["csv", "named csv", "jsonl", "jsonl lists"],
)
def test_ten_million_columns_are_refused_at_once(
    tmp_path: Path, format: TableFormat, content: bytes
) -> None:
    path = tmp_path / f"table.{format}"
    path.write_bytes(content)
    del content
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(DataError, match="line 1 "):
        list(read_rows(path, format))
    seconds = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 3
    assert peak < 200 << 20
