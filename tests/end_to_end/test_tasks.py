"""Every task over HTTP: an uploaded table, a job, and the task's own metric first."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.recipe.task import NamedTask, Task
from demo.service import Service, running_service
from tests.compression.tiny_models import (
    cycles,
    questions,
    rated,
    save_encoder,
    save_language_model,
    sentences,
    tagged,
)
from tests.end_to_end.client import Client
from tests.end_to_end.conftest import QUICK

TRAINING = {"epochs": 6, "batch_size": 8, "learning_rate": 0.003}
CASES: dict[str, tuple[str, Any, str, dict[str, Any]]] = {
    # task: model, rows, headline, more of the recipe
    "regression": ("encoder", rated, "pearson", {}),
    "token-classification": ("encoder", tagged, "f1", {"epochs": 12}),
    "question-answering": ("encoder", questions, "f1", {"epochs": 12}),
    "causal-lm": ("language", cycles, "perplexity", {}),
    "embedding": ("encoder", sentences, "similarity_rank", {}),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_encoder(root / "encoder")
    save_language_model(root / "language")
    return root


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), tiny, **QUICK) as running:
        yield running


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def upload(client: Client, task: str, rows: list[dict[str, Any]]) -> str:
    """Two tasks come as jsonl, the others as parquet."""
    if task in {"regression", "question-answering"}:
        files = {"file": ("rows.jsonl", as_jsonl(rows))}
    else:
        files = {"file": ("rows.parquet", as_parquet(rows))}
    answer = client.http.post("/v1/datasets", files=files)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("task", CASES)
def test_a_task_from_upload_to_result(client: Client, tiny: Path, task: str) -> None:
    model, rows, headline, more = CASES[task]
    config = {
        "type": task,
        "dataset": {"type": "upload", "id": upload(client, task, rows(200))},
        "max_length": 32 if task == "question-answering" else 16,
    }
    if task == "question-answering":
        config["doc_stride"] = 8
    recipe = client.recipe(
        model={"type": "path", "path": str(tiny / model)},
        task=config,
        calibration={"rows": 64, "batch_size": 16},
        adapt="auto" if task == "embedding" else "always",
        **({} if task == "embedding" else {"adaptation": TRAINING | more}),
    )
    if task == "embedding":
        del recipe["adaptation"]
    plan = client.post("/v1/plans", recipe)
    assert plan.status_code == 200, plan.text
    job = client.run(recipe)
    metrics = job["result"]["metrics"]
    assert set(metrics) == {"dense", "factorized", "finetuned"}
    assert job["result"]["headline"] == headline
    assert headline in metrics["finetuned"]
    assert (
        job["result"]["params"]["targets"]["after"] < job["result"]["params"]["targets"]["before"]
    )
    assert client.listed(job["id"], "artifacts")


def test_every_task_is_run() -> None:
    """Text classification is what the other end-to-end tests do."""
    named = {kind.model_fields["type"].default for kind in Task.__args__}
    assert named == {*CASES, "text-classification"}
    assert NamedTask.model_fields["type"].default == "named"
