"""A failed job keeps its error: from the real runner to GET, the logs, the attempts, the page."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from transformers import BertModel

from core.database.states import JobState
from core.jobs.claims import claim_next
from core.settings import Settings
from tests.api.conftest import Api, Json, running
from tests.api.dashboard.conftest import Browser, text_of
from tests.compression.tiny_models import (
    save_encoder,
    sentences,
    tiny_config,
    tiny_tokenizer,
    write_csv,
)
from worker.supervisor import Supervisor, Workplace

Work = Callable[[], JobState | None]


@pytest.fixture
def patient(
    sqlite_url: str, valkey: str, api_settings: Settings, model_root: Path
) -> Iterator[Api]:
    """A service whose leases outlast the slowest start of a runner."""
    settings = api_settings.model_copy(update={"lease_s": 60.0, "heartbeat_s": 1.0})
    yield from running(settings, model_root)


@pytest.fixture
def work(patient: Api) -> Iterator[Work]:
    """One attempt at the best queued job, by a supervisor and the real runner."""
    reading, writing = os.pipe()
    state = patient.app.state
    place = Workplace(patient.settings, state.sessions, state.storage, reading)

    def work_on_it() -> JobState | None:
        claimed_at = monotonic()
        with state.sessions.begin() as session:
            job = claim_next(session, "default", place.owner, place.settings.lease_s)
        assert job is not None
        return Supervisor(place, job, claimed_at=claimed_at).run()

    yield work_on_it
    os.close(reading)
    os.close(writing)


@pytest.fixture
def model(model_root: Path) -> Path:
    return save_encoder(model_root / "encoder")


def submitted(api: Api, model: Path, rows: list[dict[str, str]], **changes: Any) -> str:
    """The address of a job that takes seconds."""
    dataset = write_csv(api.settings.dataset_roots[0] / "texts.csv", rows)
    task = {
        "type": "text-classification",
        "dataset": {"type": "path", "path": str(dataset)},
        "max_length": changes.pop("max_length", 16),
    }
    recipe: Json = {
        "model": {"type": "path", "path": str(model)},
        "task": task,
        "method": {"type": "svd"},
        "budget": {"type": "keep_ratio", "value": 0.5},
        "adaptation": {"epochs": 1, "batch_size": 32, "learning_rate": 1e-9},
    }
    answer = api.post("/v1/jobs", recipe | changes)
    assert answer.status_code == 202, answer.text
    route: str = answer.json()["links"]["self"]
    return route


def shown_error(api: Api, route: str) -> Json:
    """The error that every place shows alike."""
    job = api.get(route).json()
    error: Json = job["error"]
    assert job["status"] == "failed"
    (attempt,) = api.get(f"{route}/attempts").json()["data"]
    assert attempt["outcome"] == "failed"
    assert attempt["detail"] == f"{error['code']}: {error['message']}"
    last = api.get(f"{route}/logs?level=error").json()["data"][-1]
    assert (last["message"], last["stage"]) == (error["message"], error["stage"])
    browser = Browser(api)
    assert browser.sign_in(api.token).status_code == 303
    page = text_of(browser.get(f"/dashboard/jobs/{job['id']}"))
    for part in (error["message"], error["hint"], error["stage"], error["pointer"]):
        assert part is None or " ".join(part.split()) in page
    return error


def stages_of(api: Api, route: str) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in api.get(f"{route}/stages").json()["data"]}


def test_a_hopeless_model_fails_before_statistics(patient: Api, work: Work, model: Path) -> None:
    route = submitted(patient, model, sentences(120), method={"type": "kfac"})
    assert work() == JobState.FAILED
    error = shown_error(patient, route)
    assert (error["code"], error["stage"]) == ("dense_model_is_hopeless", "adapt")
    assert (error["retryable"], error["pointer"]) == (False, "/adaptation")
    assert "learning rate" in error["hint"]
    assert stages_of(patient, route)["statistics"] == "pending"


def test_data_that_went_bad_after_the_submission_is_found(
    patient: Api, work: Work, model: Path
) -> None:
    rows = sentences(40)
    route = submitted(patient, model, rows)
    rows[30] = rows[30] | {"text": ""}
    write_csv(patient.settings.dataset_roots[0] / "texts.csv", rows)
    assert work() == JobState.FAILED
    error = shown_error(patient, route)
    assert (error["code"], error["stage"]) == ("data_refused", "resolve")
    assert (error["retryable"], error["pointer"]) == (False, "/task/text")
    assert "Row 31" in error["message"]


def test_a_broken_run_says_so_and_no_more(patient: Api, work: Work, model: Path) -> None:
    route = submitted(patient, model, sentences(40))
    workspace = patient.settings.workspaces_dir / route.split("/")[-1]
    workspace.mkdir(parents=True)
    (workspace / "stages").write_text("a file where a folder should be")
    assert work() == JobState.FAILED
    error = shown_error(patient, route)
    assert (error["code"], error["retryable"]) == ("internal_error", False)
    assert "log has the trace" in error["message"]
    assert str(workspace) not in str(error)
    assert "Traceback" in (workspace / "runner.log").read_text()


def test_memory_is_refused_by_estimate(patient: Api, work: Work, model_root: Path) -> None:
    wide = model_root / "wide"
    wide.mkdir()
    torch.manual_seed(0)
    config = tiny_config(intermediate_size=8192, max_position_embeddings=8192)
    BertModel(config).save_pretrained(wide)
    tiny_tokenizer(wide).save_pretrained(wide)
    changes = {"adaptation": {"batch_size": 4096}, "max_length": 8192}
    route = submitted(patient, wide, sentences(40), **changes)
    recipe = patient.get(route).json()["recipe"]
    peak = patient.post("/v1/plans", recipe).json()["resources"]["peak_bytes"]
    assert peak > 10**12
    assert work() == JobState.FAILED
    error = shown_error(patient, route)
    assert (error["code"], error["retryable"]) == ("memory_too_small", True)
    assert f"{peak:,} bytes" in error["message"]
    assert "available" in error["message"]
    assert "max_length" in error["hint"]
    assert set(stages_of(patient, route).values()) == {"pending"}


def test_a_failed_job_is_retried_where_it_stopped(patient: Api, work: Work, model: Path) -> None:
    route = submitted(patient, model, sentences(120))
    assert work() == JobState.FAILED
    assert stages_of(patient, route)["resolve"] == "done"
    rings = threading.Event()
    patient.app.state.doorbell.ring = lambda _: rings.set()
    assert patient.post(f"{route}/retry").json()["error"] is None
    assert rings.is_set()
    assert work() == JobState.FAILED
    attempts = patient.get(f"{route}/attempts").json()["data"]
    assert [attempt["epoch"] for attempt in attempts] == [1, 2]
    sources = [
        event["data"]["source"]
        for event in patient.get(f"{route}/events").json()["data"]
        if event["type"] == "stage.finished" and event["data"]["stage"] == "resolve"
    ]
    assert sources == ["computed", "workspace"]
