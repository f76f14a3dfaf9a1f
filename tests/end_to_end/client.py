"""What the end-to-end tests ask of the service, in their own words."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import rankwise

PATIENCE_S = 120
Json = dict[str, Any]


@dataclass
class Client:
    http: httpx.Client
    model: Path
    texts: Path

    def upload(self) -> str:
        files = {"file": ("texts.csv", self.texts.read_bytes(), "text/csv")}
        return str(self.http.post("/v1/datasets", files=files).raise_for_status().json()["id"])

    def recipe(self, **changes: Any) -> Json:
        return {
            "model": {"type": "path", "path": str(self.model)},
            "task": {
                "type": "text-classification",
                "dataset": {"type": "upload", "id": self.upload()},
                "max_length": 16,
            },
            "adaptation": {"epochs": 4, "batch_size": 16, "learning_rate": 0.003},
            "method": {"type": "kfac"},
            "budget": {"type": "keep_ratio", "value": 0.5},
            "finetune": {"type": "distill", "epochs": 1, "learning_rate": 0.0003},
            "evaluation": {"latency_repeats": 3, "bootstrap_samples": 200},
        } | changes

    def post(self, route: str, body: Json, **headers: str) -> httpx.Response:
        content = json.dumps(body)
        return self.http.post(
            route, content=content, headers={"Content-Type": "application/json", **headers}
        )

    def submit(self, recipe: Json) -> str:
        response = self.post("/v1/jobs", recipe)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> Json:
        return dict(self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json())

    def listed(self, job_id: str, noun: str) -> list[Json]:
        route = f"/v1/jobs/{job_id}/{noun}?limit=200"
        return list(self.http.get(route).raise_for_status().json()["data"])

    def download(self, job_id: str, folder: Path) -> None:
        key = self.http.headers["Authorization"].removeprefix("Bearer ")
        with rankwise.Client(str(self.http.base_url), key) as client:
            client.download(job_id, folder)

    def wait_for_event(self, job_id: str, wanted: str, stage: str | None = None) -> Json:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for event in self.listed(job_id, "events"):
                if event["type"] == wanted and stage in (None, event["data"].get("stage")):
                    return event
            time.sleep(0.05)
        raise AssertionError(f"no {wanted} within {PATIENCE_S} s: {self.job(job_id)}")

    def wait_until_finished(self, job_id: str) -> Json:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job["status"] in {"succeeded", "failed", "cancelled"}:
                return job
            time.sleep(0.1)
        raise AssertionError(f"not finished within {PATIENCE_S} s: {self.job(job_id)}")

    def run(self, recipe: Json) -> Json:
        job = self.wait_until_finished(self.submit(recipe))
        assert job["status"] == "succeeded", job["error"]
        return job
