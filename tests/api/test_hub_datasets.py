"""Datasets of a hub: pinned, their files chosen by split, refused before a worker hears of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest

from api.resolution.datasets import resolve_dataset
from core.data.dataset import dataset_sha256, read_dataset
from core.database.tables import Job
from core.recipe.named_tasks import expanded
from core.recipe.task import NamedTask, TaskName
from core.settings import Settings
from tests.api.conftest import Api, Json, running
from tests.api.hub_datasets import fetched, serve_known_datasets, write_glue
from tests.core.data.parquet_files import write_parquet
from tests.factories import DEFAULT_PROJECT
from tests.hub.server import StandInHub

FILMS = "org/films"
ROWS: dict[str, list[Any]] = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}
SPLITS = {"type": "named", "validation": None, "test": "test"}
CLASSIFIER = {"type": "text-classification", "splits": SPLITS}


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


@pytest.fixture
def api(
    sqlite_url: str, valkey: str, api_settings: Settings, model_root: Path, hub: StandInHub
) -> Iterator[Api]:
    """The API, with the stand-in as its hub."""
    yield from running(api_settings.model_copy(update={"hub_endpoint": hub.url}), model_root)


def films(hub: StandInHub, folder: Path, **splits: dict[str, list[Any]]) -> str:
    """A dataset of one file for each split; its commit."""
    for split, columns in (splits or {"train": ROWS, "test": ROWS}).items():
        write_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", columns)
    return hub.add("dataset", FILMS, folder)


def submit(api: Api, task: Any, **dataset: Any) -> Any:
    if isinstance(task, dict) and "name" not in task:
        task = task | {"dataset": {"type": "hub", "id": FILMS} | dataset}
    return api.post("/v1/jobs", api.recipe(dataset="none") | {"task": task})


def job(api: Api) -> Job:
    with api.session() as session:
        row = session.query(Job).one()
        session.expunge(row)
        return row


def refusal(api: Api, task: Json, **dataset: Any) -> Json:
    refused = submit(api, task, **dataset)
    assert (refused.status_code, refused.json()["code"]) == (422, "data_refused"), refused.text
    assert api.count(Job) == 0
    (error,) = refused.json()["errors"]
    return dict(error)


def test_a_job_keeps_the_commit_and_the_files_of_its_splits(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    commit = films(hub, tmp_path / "films", train=ROWS, test=ROWS, unsupervised=ROWS)
    taken = submit(api, CLASSIFIER)
    assert taken.status_code == 202, taken.text
    assert taken.json()["recipe"]["task"]["dataset"]["revision"] == commit
    inputs = job(api).inputs
    assert inputs["dataset_hub"] == {
        "id": FILMS,
        "commit": commit,
        "files": {
            "train": ["data/train-00000-of-00001.parquet"],
            "test": ["data/test-00000-of-00001.parquet"],
        },
    }
    assert (inputs["dataset_path"], inputs["dataset_key"]) == (None, None)
    assert inputs["dataset_format"] == "parquet"


def test_the_digest_is_that_of_the_folder_which_is_fetched(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    films(hub, tmp_path / "films")
    submit(api, CLASSIFIER)
    inputs = job(api).inputs
    folder = fetched(tmp_path / "films", inputs["dataset_hub"]["files"], tmp_path / "fetched")
    assert inputs["dataset_sha256"] == dataset_sha256(folder)
    assert [row["text"] for row in read_dataset(folder)["train"]] == ROWS["text"]


def test_only_footers_are_read_at_submit(api: Api, hub: StandInHub, tmp_path: Path) -> None:
    texts = [f"{n:x}" * 60 for n in range(5000)]
    films(hub, tmp_path / "films", train={"text": texts, "label": [0, 1] * 2500}, test=ROWS)
    assert submit(api, CLASSIFIER).status_code == 202
    name = "data/train-00000-of-00001.parquet"
    size = (tmp_path / "films" / name).stat().st_size
    reads = [span for _, path, span in hub.requests if path.endswith(name)]
    assert reads == [f"bytes={size - 65536}-{size - 1}"]


def test_rows_are_counted_for_the_plan(api: Api, hub: StandInHub, tmp_path: Path) -> None:
    films(
        hub, tmp_path / "films", train={"text": ["a"] * 40_000, "label": [0, 1] * 20_000}, test=ROWS
    )
    task = CLASSIFIER | {"dataset": {"type": "hub", "id": FILMS}}
    body = api.recipe(dataset="none") | {"task": task}
    few = body | {"task": task | {"splits": SPLITS | {"max_rows": {"train": 10}}}}
    answers = [api.post("/v1/plans", one).json()["resources"] for one in (body, few)]
    assert answers[0] != answers[1]


REFUSED: list[tuple[str, Json, Json, str, str, str]] = [
    (
        "an unknown split",
        CLASSIFIER | {"splits": {"type": "named", "validation": "dev"}},
        {},
        "/task/splits/validation",
        "the dataset has no split 'dev'",
        "its splits are 'test', 'train'; null holds out a tenth of the train split",
    ),
    (
        "an unknown configuration",
        CLASSIFIER,
        {"config": "plain"},
        "/task/dataset/config",
        "the dataset has no configuration 'plain'",
        "'default'",
    ),
    (
        "an unknown column",
        CLASSIFIER | {"text": "body"},
        {},
        "/task/text",
        "in the split 'train', the dataset has no column 'body'",
        "its columns are 'text', 'label'",
    ),
    (
        "a column of another type",
        {"type": "token-classification", "splits": SPLITS, "tokens": "text", "tags": "label"},
        {},
        "/task/tokens",
        "not lists of words",
        "the dataset has no such column",
    ),
    (
        "splits that are not named",
        {"type": "text-classification"},
        {},
        "/task/splits",
        "the dataset keeps its splits apart: 'test', 'train'",
        "name them",
    ),
    (
        "an unknown revision",
        CLASSIFIER,
        {"revision": "v9"},
        "/task/dataset/revision",
        "v9",
        "",
    ),
    ("an unknown dataset", CLASSIFIER, {"id": "org/none"}, "/task/dataset/id", "org/none", ""),
]


@pytest.mark.parametrize(
    ("task", "dataset", "pointer", "words", "hint"),
    [r[1:] for r in REFUSED],
    ids=[r[0] for r in REFUSED],
)
def test_what_the_hub_does_not_have_is_refused(
    api: Api,
    hub: StandInHub,
    tmp_path: Path,
    task: Json,
    dataset: Json,
    pointer: str,
    words: str,
    hint: str,
) -> None:
    films(hub, tmp_path / "films")
    error = refusal(api, task, **dataset)
    assert error["pointer"] == pointer
    assert words in error["detail"]
    assert hint in error.get("hint", "")


def test_one_split_alone_may_be_split_by_seed(api: Api, hub: StandInHub, tmp_path: Path) -> None:
    films(hub, tmp_path / "films", train=ROWS)
    assert submit(api, {"type": "text-classification"}).status_code == 202
    assert list(job(api).inputs["dataset_hub"]["files"]) == ["train"]


def test_a_dataset_of_scripts_is_refused(api: Api, hub: StandInHub, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "films.py").write_text("raise SystemExit\n")
    hub.add("dataset", FILMS, tmp_path / "films")
    error = refusal(api, CLASSIFIER)
    assert "a loading script, which is never run" in error["detail"]
    assert "refs/convert/parquet" in error["hint"]


def test_a_dataset_beyond_the_limit_is_refused_unread(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    texts = [f"{n:x}" * 60 for n in range(40_000)]
    films(hub, tmp_path / "films", train={"text": texts, "label": [0, 1] * 20_000}, test=ROWS)
    error = refusal(api, CLASSIFIER)
    assert "at most 100000 are taken" in error["detail"]
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path]


def test_a_file_that_is_not_parquet_is_refused_by_name(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        path = tmp_path / "films" / f"{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"text,label\na,b\n")
    hub.add("dataset", FILMS, tmp_path / "films")
    error = refusal(api, CLASSIFIER)
    assert error["pointer"] == "/task/dataset/id"
    assert "train.parquet: the parquet file is cut off" in error["detail"]


def test_files_of_a_split_with_other_columns_are_refused(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "films" / "data" / "train-00000-of-00002.parquet", ROWS)
    write_parquet(tmp_path / "films" / "data" / "train-00001-of-00002.parquet", {"text": ["a"]})
    write_parquet(tmp_path / "films" / "data" / "test.parquet", ROWS)
    hub.add("dataset", FILMS, tmp_path / "films")
    error = refusal(api, CLASSIFIER)
    assert "train-00001-of-00002.parquet: does not have the columns of" in error["detail"]


def test_every_split_needs_rows_and_the_tasks_columns(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    films(hub, tmp_path / "unlabelled", train=ROWS, test={"text": ["a"], "label": ["x"]})
    assert submit(api, CLASSIFIER).status_code == 202
    films(hub, tmp_path / "other", train=ROWS, test={"text": ["a"]})
    refused = submit(api, CLASSIFIER).json()["errors"][0]
    assert refused["detail"] == "in the split 'test', the dataset has no column 'label'"
    assert refused["pointer"] == "/task/label"
    films(hub, tmp_path / "empty", train=ROWS, test={"text": pa.array([], pa.string())})
    assert submit(api, CLASSIFIER).json()["errors"][0]["detail"] == "the split 'test' has no rows"


def test_a_column_that_no_task_reads_may_be_of_any_type(
    api: Api, hub: StandInHub, tmp_path: Path
) -> None:
    pictures = ROWS | {"image": [{"bytes": b"x", "path": "p"}] * 4}
    films(hub, tmp_path / "films", train=pictures, test=pictures)
    error = refusal(api, CLASSIFIER | {"text": "image"})
    assert "column 'image' is an object whose 'bytes' is binary" in error["detail"]
    assert error["pointer"] == "/task/text"
    assert submit(api, CLASSIFIER).status_code == 202


@pytest.mark.parametrize("name", get_args(TaskName))
def test_every_named_task_finds_its_data(
    api: Api, hub: StandInHub, tmp_path: Path, name: TaskName
) -> None:
    serve_known_datasets(hub, tmp_path / "known")
    task = expanded(NamedTask(name=name))
    with api.session() as session:
        found = resolve_dataset(task, DEFAULT_PROJECT, session, api.settings, api.app.state.storage)
    files = found.inputs()["dataset_hub"]["files"]
    named = [task.splits.train, task.splits.validation, task.splits.test]
    assert list(files) == [split for split in named if split is not None]
    assert all(len(names) == 1 for names in files.values())
    used = [getattr(task, field) for field in task.column_fields()]
    assert {column for column in used if column is not None} <= set(found.table.columns)


def test_a_named_task_may_be_given_fewer_rows(api: Api, hub: StandInHub, tmp_path: Path) -> None:
    hub.add("dataset", "nyu-mll/glue", write_glue(tmp_path / "glue"))
    task = {"type": "named", "name": "glue/sst2", "max_rows": {"train": 2}, "max_length": 32}
    taken = submit(api, task)
    assert taken.status_code == 202, taken.text
    full = taken.json()["recipe"]["task"]
    assert full["splits"]["max_rows"]["train"] == 2
    assert (full["max_length"], full["text"]) == (32, "sentence")
