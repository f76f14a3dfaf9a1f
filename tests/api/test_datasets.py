"""Uploads: what is said of a good table, and that a bad one leaves nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.database.tables import Dataset, Job
from core.settings import Settings
from tests.api.conftest import Api, csv_table
from tests.core.data.parquet_files import ANSWERS, write_parquet


def test_an_uploaded_table_is_described_and_stored(api_on_each: Api) -> None:
    api = api_on_each
    answer = api.upload(csv_table(10), name="folder/reviews.csv")
    assert answer.status_code == 201
    dataset = answer.json()
    assert re.fullmatch(r"ds_[0-9a-z]{26}", dataset["id"])
    assert (dataset["name"], dataset["format"], dataset["rows"]) == ("reviews.csv", "csv", 10)
    assert dataset["bytes"] == len(csv_table(10))
    text, label = dataset["columns"]
    assert (text["type"], label["counts"]) == ("string", {"bad": 5, "good": 5})
    assert dataset["preview"][1] == {"text": "text number 1", "label": "good"}
    assert api.get(answer.headers["location"]).json() == dataset
    (file,) = api.stored_files()
    assert Path(file).read_bytes() == csv_table(10)
    listed = api.get("/v1/datasets").json()["data"]
    assert listed == [{name: dataset[name] for name in dataset if name != "preview"}]


def test_a_parquet_table_with_lists_is_described(api_on_each: Api, tmp_path: Path) -> None:
    api = api_on_each
    columns = {"tokens": [["a", "b"], ["c"]], "tags": [[0, 1], [0]], "answers": [ANSWERS, ANSWERS]}
    content = write_parquet(tmp_path / "t.parquet", columns).read_bytes()
    made = api.upload(content, name="words.parquet").json()
    assert (made["format"], made["rows"], made["bytes"]) == ("parquet", 2, len(content))
    tokens, tags, answers = made["columns"]
    assert (tokens["type"], tags["type"], answers["type"]) == (
        "list<string>",
        "list<integer>",
        "object",
    )
    assert tags["counts"] == {"0": 2, "1": 1}
    assert answers["members"] == {"text": "list<string>", "answer_start": "list<integer>"}
    assert made["preview"][0] == {"tokens": ["a", "b"], "tags": [0, 1], "answers": ANSWERS}
    assert api.get(f"/v1/datasets/{made['id']}").json() == made
    (file,) = api.stored_files()
    assert file.endswith(f"{made['id']}.parquet")


def test_three_gigabytes_are_refused_by_their_declared_length(api: Api) -> None:
    """Of the default limit, 2 GiB, and before one byte of the body is taken."""
    api.app.state.settings = api.settings.model_copy(
        update={"max_upload_bytes": Settings().max_upload_bytes}
    )
    headers = api.headers | {
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(3 << 30),
    }
    refused = api.http.post("/v1/datasets", content=iter([b"--x"]), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert "at most 2147" in refused.json()["detail"]
    assert api.stored_files() == []


def test_the_form_may_name_format_and_dataset(api: Api) -> None:
    content = b'{"text":"a","label":1}\n{"text":"b","label":2}\n'
    files = {"file": ("data.txt", content)}
    fields = {"format": "jsonl", "name": "My table ✓"}
    made = api.http.post("/v1/datasets", files=files, data=fields, headers=api.headers).json()
    assert (made["name"], made["format"]) == ("My table ✓", "jsonl")
    assert made["columns"][1]["type"] == "integer"


TABLES: list[tuple[str, str, bytes, str]] = [
    ("empty", "t.csv", b"", "the file is empty"),
    ("header alone", "t.csv", b"text,label\n", "the table has no rows"),
    ("ragged", "t.csv", b"text,label\na,b\nc\n", "line 3 has 1 cells"),
    ("doubled column", "t.csv", b"text,text\na,b\n", "names column 'text' twice"),
    ("not UTF-8", "t.csv", b"text,label\n\xe9,b\n", "byte 11 of the file is 0xe9"),
    ("a late bad row", "t.csv", csv_table(500) + b"x\n", "line 502 has 1 cells"),
    ("too wide", "t.csv", b",".join(b"c%d" % n for n in range(1001)), "names 1001 columns"),
    ("not JSON", "t.jsonl", b"text\n", "line 1 is not well-formed JSON"),
    ("nested", "t.jsonl", b'{"a":[[]]}\n', "line 1 holds a list inside a list"),
    ("parquet as csv", "t.csv", b"PAR1" * 9, "the file is a parquet file, not csv"),
    ("csv as parquet", "t.parquet", b"text,label\na,b\n", "it does not begin with PAR1"),
    ("cut off", "t.parquet", b"PAR1" + bytes(40), "is cut off: its footer is missing"),
    ("columns change", "t.jsonl", b'{"a":1}\n{"a":1,"b":2}\n', "line 2 does not have"),
]


@pytest.mark.parametrize(
    ("name", "content", "words"), [t[1:] for t in TABLES], ids=[t[0] for t in TABLES]
)
def test_bad_tables_are_refused_and_gone(api: Api, name: str, content: bytes, words: str) -> None:
    refused = api.upload(content, name=name)
    assert (refused.status_code, refused.json()["code"]) == (422, "data_refused")
    (error,) = refused.json()["errors"]
    assert error["parameter"] == "file"
    assert words in error["detail"]
    assert api.count(Dataset) == 0
    assert api.stored_files() == []


def test_an_upload_beyond_the_limit_is_cut_off(api: Api) -> None:
    limit = api.settings.max_upload_bytes
    taken: list[int] = []

    def form(size: int) -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="t.csv"\r\n\r\ntext\n'
        for _ in range(size // 1000):
            taken.append(1000)
            yield b"a" * 999 + b"\n"
        yield b"\r\n--x--\r\n"

    headers = api.headers | {"Content-Type": "multipart/form-data; boundary=x"}
    refused = api.http.post("/v1/datasets", content=form(20 * limit), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    declared = api.upload(b"text\n" + b"a\n" * limit)
    assert declared.status_code == 413
    assert api.count(Dataset) == 0
    assert api.stored_files() == []


FORMS: list[tuple[str, bytes, int, str]] = [
    ("cut off", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na', 400, ""),
    ("no form at all", b"hello", 400, ""),
    (
        "no file",
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--x--',
        422,
        "file",
    ),
    ("other field", b'--x\r\nContent-Disposition: form-data; name="z"\r\n\r\na\r\n--x--', 422, "z"),
    ("unnamed part", b"--x\r\nContent-Type: text/csv\r\n\r\na\r\n--x--", 400, ""),
    (
        "long field",
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + b"a" * 1001 + b"\r\n--x--",
        422,
        "name",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "parameter"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS]
)
def test_bad_forms(api: Api, body: bytes, status: int, parameter: str) -> None:
    headers = api.headers | {"Content-Type": "multipart/form-data; boundary=x"}
    refused = api.http.post("/v1/datasets", content=body, headers=headers)
    assert refused.status_code == status, refused.text
    if parameter:
        assert refused.json()["errors"][0]["parameter"] == parameter
    assert api.stored_files() == []


def test_two_files_are_refused(api: Api) -> None:
    files = [("file", ("a.csv", csv_table())), ("file", ("b.csv", csv_table()))]
    refused = api.http.post("/v1/datasets", files=files, headers=api.headers)
    assert refused.status_code == 422
    assert api.stored_files() == []


@pytest.mark.parametrize(("name", "fields"), [("t.txt", {}), ("t.csv", {"format": "arrow"})])
def test_an_unknown_format_is_refused(api: Api, name: str, fields: dict[str, str]) -> None:
    refused = api.upload(csv_table(), name=name, **fields)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == "format"
    assert api.stored_files() == []


def test_a_name_beyond_its_limit_is_refused(api: Api) -> None:
    fields = {"name": "x" * 201}
    files = {"file": ("t.csv", csv_table())}
    refused = api.http.post("/v1/datasets", files=files, data=fields, headers=api.headers)
    assert refused.json()["errors"][0]["parameter"] == "name"


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", ""])
def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    headers = api.headers | {"Content-Type": content_type}
    refused = api.http.post("/v1/datasets", content=b"x", headers=headers)
    assert refused.status_code in {400, 415}


def test_a_dataset_in_use_stays_until_its_job_has_finished(api_on_each: Api) -> None:
    api = api_on_each
    dataset = api.upload().json()["id"]
    job = api.post("/v1/jobs", api.recipe(dataset=dataset)).json()["links"]["self"]
    refused = api.delete(f"/v1/datasets/{dataset}")
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_in_use")
    api.post(f"{job}/cancel")
    assert api.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert api.get(f"/v1/datasets/{dataset}").status_code == 404
    assert api.stored_files() == []
    assert api.count(Job) == 1


def test_a_missing_file_is_no_failure(api: Api) -> None:
    answer = api.upload()
    for file in api.stored_files():
        (api.settings.storage_dir / file).unlink()
    assert api.get(answer.headers["location"]).json()["preview"] is None


def test_texts_come_back_as_they_were(api: Api) -> None:
    content = json.dumps({"text": 'a "quoted"\nline ✓', "label": None}, ensure_ascii=False)
    (row,) = api.upload(content.encode(), name="t.jsonl").json()["preview"]
    assert row == {"text": 'a "quoted"\nline ✓', "label": None}
