"""What a summary says of a table."""

from pathlib import Path

import pytest

from core.data.columns import PREVIEW_ITEMS, ColumnSummary
from core.data.preview import first_rows, summarize
from core.errors import DataError


def write(tmp_path: Path, content: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def columns(path: Path) -> dict[str, ColumnSummary]:
    format = "csv" if path.suffix == ".csv" else "jsonl"
    summary = summarize(path, format)  # type: ignore[arg-type]
    return {column.name: column for column in summary.columns}


def test_csv_types_are_the_narrowest_that_fit(tmp_path: Path) -> None:
    rows = "i,f,b,s,m,e\n1,1,true,x,1,\n-2,2.5e3,False,2,a,\n"
    found = columns(write(tmp_path, rows))
    types = {name: column.type for name, column in found.items()}
    assert types == {
        "i": "integer",
        "f": "number",
        "b": "boolean",
        "s": "string",
        "m": "string",
        "e": "empty",
    }
    assert found["e"].missing == 2


def test_jsonl_types_are_the_values_own(tmp_path: Path) -> None:
    rows = '{"s":"1","n":1,"m":"a","z":null}\n{"s":"2","n":1.5,"m":2,"z":null}\n'
    found = columns(write(tmp_path, rows, "table.jsonl"))
    types = {name: column.type for name, column in found.items()}
    assert types == {"s": "string", "n": "number", "m": "mixed", "z": "empty"}


def test_label_counts_are_given_while_there_are_few(tmp_path: Path) -> None:
    rows = "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(150))
    found = columns(write(tmp_path, "text,label\n" + rows))
    assert found["label"].counts == {"a": 75, "b": 75}
    assert found["text"].counts is None
    assert found["text"].distinct == 150


def test_distinct_is_unknown_beyond_its_limit_and_for_long_texts(tmp_path: Path) -> None:
    many = "text,long\n" + "".join(f"text {n},{'x' * 300}\n" for n in range(1001))
    found = columns(write(tmp_path, many))
    assert found["text"].distinct is None
    assert found["long"].distinct is None


def test_lengths_are_counted_in_bins(tmp_path: Path) -> None:
    path = write(tmp_path, f"text\n{'a' * 16}\n{'b' * 17}\n{'c' * 5000}\n")
    bins = {one.up_to: one.rows for one in columns(path)["text"].lengths or []}
    assert (bins[16], bins[32], bins[None]) == (1, 1, 1)
    assert sum(bins.values()) == 3


def test_preview_cuts_long_texts(tmp_path: Path) -> None:
    path = write(tmp_path, f"text\n{'a' * 3000}\n")
    (row,) = first_rows(path, "csv")
    assert str(row["text"]).startswith("aaa")
    assert len(str(row["text"])) == 1001


def test_header_alone_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label\n")
    with pytest.raises(DataError, match="no rows"):
        summarize(path, "csv")


def test_one_value_is_told_from_two(tmp_path: Path) -> None:
    found = columns(write(tmp_path, "one,two,none\nx,x,\nx,y,\n"))
    assert found["one"].one_value == "x"
    assert found["two"].one_value is None
    assert found["none"].one_value is None


def test_a_look_at_the_first_rows_says_that_it_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, "a\n1\n2\nx\n")
    look, whole = summarize(path, "csv", most=2), summarize(path, "csv", most=4)
    assert (look.rows, look.whole, look.columns[0].type) == (2, False, "integer")
    assert (whole.rows, whole.whole, whole.columns[0].type) == (3, True, "string")


def test_lists_have_their_items_types_and_counts(tmp_path: Path) -> None:
    rows = '{"w":["a","b"],"t":[1,1],"e":[],"n":null}\n{"w":["a"],"t":[0],"e":[],"n":[0.5,1]}\n'
    found = columns(write(tmp_path, rows, "table.jsonl"))
    types = {name: column.type for name, column in found.items()}
    assert types == {
        "w": "list<string>",
        "t": "list<integer>",
        "e": "list<empty>",
        "n": "list<number>",
    }
    assert found["t"].counts == {"1": 2, "0": 1}
    assert found["n"].missing == 1
    assert found["w"].distinct == 2
    assert [one.rows for one in found["w"].lengths or [] if one.up_to == 16] == [2]


def test_objects_name_their_lists(tmp_path: Path) -> None:
    row = '{"a":{"text":["x"],"answer_start":[3]},"m":[1]}\n'
    other = '{"a":{"text":[],"answer_start":[]},"m":1}\n'
    found = columns(write(tmp_path, row + other, "table.jsonl"))
    assert found["a"].type == "object"
    assert found["a"].members == {"text": "list<string>", "answer_start": "list<integer>"}
    assert found["a"].counts is None
    assert found["m"].type == "mixed"


def test_preview_cuts_long_lists_and_the_texts_in_them(tmp_path: Path) -> None:
    items = ",".join([f'"{"x" * 2000}"'] + ["1"] * 500)
    path = write(tmp_path, f'{{"l":[{items}],"o":{{"m":[{items}]}}}}\n', "table.jsonl")
    (row,) = first_rows(path, "jsonl")
    assert isinstance(row["l"], list)
    assert isinstance(row["o"], dict)
    assert len(row["l"]) == len(row["o"]["m"]) == PREVIEW_ITEMS
    assert len(str(row["l"][0])) == 1001
