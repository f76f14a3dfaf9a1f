"""A browser that keeps cookies, and jobs in every state a page can show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from httpx import Response

from core.database.states import JobState
from core.database.tables import Job, JobStage, now
from core.recipe.methods import METHOD_CONFIGS
from tests.api.conftest import Api
from tests.factories import (
    DEFAULT_PROJECT,
    make_artifact,
    make_changed_answer,
    make_event,
    make_job,
    make_layer,
    make_metric,
    make_recipe,
    make_stage,
)

CSRF = re.compile(r'name="csrf" value="([^"]*)"')
STAGES = METHOD_CONFIGS["svd"].stages


@dataclass
class Browser:
    """Follows no redirect, so that tests see each one."""

    api: Api

    def get(self, address: str, **headers: str) -> Response:
        return self.api.http.get(address, headers=headers, follow_redirects=False)

    def post(self, address: str, **fields: str) -> Response:
        return self.api.http.post(address, data=fields, follow_redirects=False)

    def csrf(self, address: str) -> str:
        found = CSRF.search(self.get(address).text)
        assert found
        return found[1]

    def sign_in(self, token: str, **fields: str) -> Response:
        csrf = self.csrf("/dashboard/sign-in")
        return self.post("/dashboard/sign-in", **({"key": token, "csrf": csrf} | fields))


@pytest.fixture
def stranger(api: Api) -> Browser:
    """Nobody has signed in."""
    return Browser(api)


@pytest.fixture
def browser(api: Api) -> Iterator[Browser]:
    """An admin of the default project."""
    browser = Browser(api)
    assert browser.sign_in(api.token).status_code == 303
    yield browser
    api.http.cookies.clear()


def text_of(response: Response) -> str:
    """What a reader sees, tags away and white space joined."""
    assert response.status_code == 200, response.text
    without_tags = re.sub(r"<[^>]*>", " ", response.text)
    return " ".join(unescape(without_tags).split())


class Jobs:
    """Rows as the service writes them, for one job in a given state."""

    def __init__(self, api: Api):
        self.api = api

    def add(self, state: JobState = JobState.QUEUED, **values: Any) -> str:
        with self.api.session() as session, session.begin():
            job = make_job(session, state=state, **({"project_id": DEFAULT_PROJECT} | values))
            for position, stage in enumerate(STAGES):
                make_stage(session, job, stage=stage, position=position)
            make_event(session, job, type="job.queued", data={"reason": "submitted"})
            return job.id

    def running(self, **values: Any) -> str:
        """In its third stage; the second came from the cache, and one has reported losses."""
        started = now() - timedelta(seconds=60)
        job_id = self.add(JobState.RUNNING, started_at=started, epoch=1, attempts=1, **values)
        self.stage(job_id, "resolve", state="done", source="computed", seconds=1.0)
        self.stage(job_id, "adapt", state="done", source="cache", seconds=0.1)
        self.stage(
            job_id, "finetune", state="running", done=412, total=960, unit="step", eta_s=118.0
        )
        for step, loss in ((100, 0.9), (200, 0.7), (412, 0.512)):
            self.progress(job_id, step, loss)
        return job_id

    def succeeded(self, speedup: float = 1.42, **values: Any) -> str:
        job_id = self.add(JobState.SUCCEEDED, result=result(speedup), **values)
        with self.api.session() as session, session.begin():
            job = session.get_one(Job, job_id)
            make_layer(session, job)
            make_metric(session, job, value=0.867)
            make_metric(session, job, phase="finetuned", value=0.859, drop=0.008)
            make_artifact(session, job, bytes=56_814_208)
            make_changed_answer(session, job)
        return job_id

    def stage(self, job_id: str, stage: str, **values: Any) -> None:
        with self.api.session() as session, session.begin():
            row = session.get_one(JobStage, {"job_id": job_id, "stage": stage})
            row.started_at = now() - timedelta(seconds=30)
            for name, value in values.items():
                setattr(row, name, value)

    def progress(self, job_id: str, step: int, loss: float, total: int = 960) -> None:
        data = {"stage": "finetune", "done": step, "total": total, "unit": "step", "eta_s": 9.0}
        with self.api.session() as session, session.begin():
            job = session.get_one(Job, job_id)
            make_event(session, job, type="stage.progress", data=data | {"values": {"loss": loss}})


def result(speedup: float) -> dict[str, Any]:
    def sizes(before: int, after: int) -> dict[str, Any]:
        return {
            "model": {"before": 2 * before, "after": before + after},
            "targets": {"before": before, "after": after},
        }

    dense = {"value": 0.867, "interval": [0.85, 0.884], "n": 1554}
    small = {
        "value": 0.859,
        "interval": [0.842, 0.876],
        "n": 1554,
        "drop": 0.008,
        "drop_interval": [-0.002, 0.018],
    }
    return {
        "metrics": {"dense": {"accuracy": dense}, "finetuned": {"accuracy": small}},
        "answers": {
            "phase": "finetuned",
            "rows": 1554,
            "worse": 30,
            "better": 17,
            "other": 4,
            "error_unit": "label",
            "labels": [
                {
                    "label": "negative",
                    "dense": {"right": 900, "answered": 1000, "true": 950},
                    "result": {"right": 893, "answered": 990, "true": 950},
                }
            ],
        },
        "params": sizes(10_000_000, 2_994_000),
        "bytes": sizes(40_000_000, 11_976_000),
        "latency": {
            "batch": 8,
            "repeats": 20,
            "threads": 1,
            "device": "cpu",
            "mean_tokens": 24.3,
            "dense_p95_ms": 33.1,
            "compressed_p95_ms": 33.1 / speedup,
            "dense_ms": 31.24,
            "dense_interval": [31.0, 31.5],
            "compressed_ms": 31.24 / speedup,
            "compressed_interval": [31.0 / speedup, 31.5 / speedup],
            "speedup": speedup,
            "speedup_interval": [speedup - 0.02, speedup + 0.02],
        },
    }


@pytest.fixture
def jobs(api: Api) -> Jobs:
    return Jobs(api)


def named_recipe(**overrides: Any) -> dict[str, Any]:
    return make_recipe(**overrides).model_dump(mode="json")
