"""What a task's dataset is refused for before any worker hears of it, and where that points."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.database.tables import Job
from tests.api.conftest import Api, Json
from tests.core.data.parquet_files import ANSWERS, write_parquet

ROWS = 12
COLUMNS: dict[str, list[Any]] = {
    "text": [f"text {n}" for n in range(ROWS)],
    "other": [f"other {n}" for n in range(ROWS)],
    "label": ["good" if n % 2 else "bad" for n in range(ROWS)],
    "number": [n / 2 for n in range(ROWS)],
    "flag": [n % 2 == 0 for n in range(ROWS)],
    "tokens": [["a", "b"]] * ROWS,
    "tags": [[0, 1]] * ROWS,
    "answers": [ANSWERS] * ROWS,
    "starts": [{"answer_start": [1]}] * ROWS,
    "one": ["x"] * ROWS,
    "rare": ["a", "b"] + ["a"] * (ROWS - 2),
    "gaps": [None] + ["a", "b"] * 5 + ["a"],
    "split": ["train"] * 8 + ["dev"] * 2 + ["test"] * 2,
    "nothing": [None] * ROWS,
}


def jsonl(columns: dict[str, list[Any]] = COLUMNS) -> bytes:
    rows = zip(*columns.values(), strict=True)
    return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows).encode()


def sources(api: Api, tmp_path: Path) -> list[Json]:
    """The same table uploaded, as jsonl and as parquet, and named by path."""
    parquet = write_parquet(tmp_path / "datasets" / "t.parquet", COLUMNS)
    (tmp_path / "datasets" / "t.jsonl").write_bytes(jsonl())
    return [
        {"type": "upload", "id": api.upload(jsonl(), name="t.jsonl").json()["id"]},
        {"type": "upload", "id": api.upload(parquet.read_bytes(), name="t.parquet").json()["id"]},
        {"type": "path", "path": "t.parquet"},
        {"type": "path", "path": "t.jsonl"},
    ]


def submit(api: Api, source: Json, task: Json) -> Any:
    body = api.recipe(dataset="none") | {"task": task | {"dataset": source}}
    return api.post("/v1/jobs", body)


CLASSIFIER = {"type": "text-classification"}
NAMED = {"type": "named", "column": "split", "validation": "dev"}
REFUSED: list[tuple[str, Json, str, str, str]] = [
    (
        "no such column",
        CLASSIFIER | {"text": "body"},
        "/task/text",
        "has no column 'body'",
        "its columns are 'text', 'other', 'label'",
    ),
    (
        "numbers as text",
        CLASSIFIER | {"text": "number"},
        "/task/text",
        "'number' holds values of type number, not texts",
        "such columns are 'text', 'other', 'label', 'one', 'rare', 'gaps', 'split'",
    ),
    (
        "lists as label",
        CLASSIFIER | {"label": "tags"},
        "/task/label",
        "values of type list<integer>, not labels: texts or whole numbers",
        "such columns are 'text'",
    ),
    (
        "booleans as label",
        CLASSIFIER | {"label": "flag"},
        "/task/label",
        "values of type boolean, not labels",
        "such columns",
    ),
    (
        "nothing as label",
        CLASSIFIER | {"label": "nothing"},
        "/task/label",
        "'nothing' holds nothing, not labels",
        "such columns",
    ),
    (
        "a single label",
        CLASSIFIER | {"label": "one"},
        "/task/label",
        "has the single value 'x'",
        "fewer than two",
    ),
    (
        "a rare label",
        CLASSIFIER | {"label": "rare"},
        "/task/label",
        "the label 'b' has 1 of the 3 rows",
        "give it more rows",
    ),
    (
        "missing labels",
        CLASSIFIER | {"label": "gaps"},
        "/task/label",
        "'gaps' is empty in 1 rows",
        "leave such rows out",
    ),
    (
        "a label for each row",
        CLASSIFIER | {"text": "other", "label": "text", "splits": {"max_rows": {"test": 2}}},
        "/task/label",
        "has 1 of the 3 rows",
        "",
    ),
    (
        "words as a regression's label",
        {"type": "regression"},
        "/task/label",
        "values of type string, not numbers",
        "such columns are 'number'",
    ),
    (
        "texts as tokens",
        {"type": "token-classification", "tokens": "text"},
        "/task/tokens",
        "values of type string, not lists of words",
        "such columns are 'tokens'",
    ),
    (
        "texts as tags",
        {"type": "token-classification", "tags": "label"},
        "/task/tags",
        "not lists of tags",
        "such columns are 'tokens', 'tags'",
    ),
    (
        "answers without texts",
        {
            "type": "question-answering",
            "question": "text",
            "context": "other",
            "answers": "starts",
        },
        "/task/answers",
        "'starts' holds objects of 'answer_start', not answers",
        "such columns are 'answers'",
    ),
    (
        "numbers for a language model",
        {"type": "causal-lm", "text": "tags"},
        "/task/text",
        "not texts",
        "such columns",
    ),
    (
        "no column of splits",
        CLASSIFIER | {"splits": NAMED | {"column": "part"}},
        "/task/splits/column",
        "has no column 'part'",
        "its columns",
    ),
    (
        "lists as splits",
        CLASSIFIER | {"splits": NAMED | {"column": "tokens"}},
        "/task/splits/column",
        "does not look like one of splits' names",
        "",
    ),
    (
        "an unknown split",
        CLASSIFIER | {"splits": NAMED | {"validation": "validation"}},
        "/task/splits/validation",
        "no row has 'validation' in the column 'split'",
        "its values are 'train', 'dev', 'test'",
    ),
]


@pytest.mark.parametrize(
    ("task", "pointer", "words", "hint"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_task_that_its_table_cannot_serve_is_refused(
    api: Api, tmp_path: Path, task: Json, pointer: str, words: str, hint: str
) -> None:
    for source in sources(api, tmp_path):
        refused = submit(api, source, task)
        assert (refused.status_code, refused.json()["code"]) == (422, "data_refused"), refused.text
        (error,) = refused.json()["errors"]
        assert error["pointer"] == pointer, source
        assert words in error["detail"]
        assert hint in error["hint"]
    assert api.count(Job) == 0


TAKEN: list[tuple[str, Json]] = [
    ("classification", CLASSIFIER),
    ("pairs", CLASSIFIER | {"text_pair": "other"}),
    ("labels from the model", CLASSIFIER | {"label": None, "labels": "from_model"}),
    ("regression", {"type": "regression", "label": "number"}),
    ("named splits", CLASSIFIER | {"splits": NAMED}),
    ("gaps in a row of no split", CLASSIFIER | {"label": "gaps", "splits": NAMED}),
]


@pytest.mark.parametrize("task", [t[1] for t in TAKEN], ids=[t[0] for t in TAKEN])
def test_a_task_that_its_table_serves_is_taken(api: Api, tmp_path: Path, task: Json) -> None:
    for source in sources(api, tmp_path):
        assert (taken := submit(api, source, task)).status_code == 202, taken.text


CSV = b"text,number,label\n" + b"".join(b"t%d,%d.5,%d\n" % (n, n, n % 2) for n in range(ROWS))


def test_cells_of_a_csv_are_texts_whatever_they_look_like(api: Api) -> None:
    source = {"type": "upload", "id": api.upload(CSV).json()["id"]}
    assert submit(api, source, CLASSIFIER | {"text": "number"}).status_code == 202
    assert submit(api, source, {"type": "regression", "label": "number"}).status_code == 202
    refused = submit(
        api, source, {"type": "token-classification", "tokens": "text", "tags": "label"}
    )
    assert "lists need a jsonl or parquet file" in refused.json()["errors"][0]["hint"]


def test_max_rows_must_have_room_for_every_label(api: Api) -> None:
    rows = "".join(f"t{n},{n % 3}\n" for n in range(30))
    source = {"type": "upload", "id": api.upload(f"text,label\n{rows}".encode()).json()["id"]}
    refused = submit(api, source, CLASSIFIER | {"splits": {"max_rows": {"validation": 2}}})
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/task/splits/max_rows/validation"
    assert error["hint"] == "allow at least 3"


def test_two_rows_are_too_few(api: Api) -> None:
    source = {"type": "upload", "id": api.upload(b"text\na\nb\n").json()["id"]}
    refused = submit(api, source, {"type": "embedding"})
    assert refused.json()["errors"][0]["detail"] == "the table has 2 rows"


def test_a_table_named_by_path_that_is_damaged_is_refused_there(api: Api, tmp_path: Path) -> None:
    (tmp_path / "datasets" / "t.parquet").write_bytes(b"PAR1 and then nothing")
    refused = submit(api, {"type": "path", "path": "t.parquet"}, CLASSIFIER)
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/task/dataset/path"
    assert "cut off" in error["detail"]


def test_what_is_remembered_of_a_path_is_forgotten_when_it_changes(
    api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "datasets" / "t.csv"
    path.write_bytes(b"text,label\n" + b"a,x\n" * 12)
    source = {"type": "path", "path": "t.csv"}
    assert submit(api, source, CLASSIFIER).status_code == 422
    path.write_bytes(CSV)
    assert submit(api, source, CLASSIFIER).status_code == 202
