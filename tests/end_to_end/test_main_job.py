"""One job over HTTP, from upload to an artifact that loads in a fresh interpreter."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.artifact import check_sums
from tests.end_to_end.client import Client, Json

STAGES = [
    "resolve",
    "adapt",
    "statistics",
    "plan",
    "factorize",
    "finetune",
    "evaluate",
    "export",
]
COUNT = """
import json, sys
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], trust_remote_code=True)
print(json.dumps({"class": type(model).__name__, "params": model.num_parameters()}))
"""


@pytest.fixture(scope="module")
def memory() -> Json:
    """The first job of the module, run once and looked at by several tests."""
    return {}


@pytest.fixture
def finished(client: Client, memory: Json) -> Json:
    if not memory:
        memory.update(client.run(client.recipe(name="first", labels={"team": "search"})))
    return memory


def test_result_has_sizes_metrics_and_latency(finished: Json) -> None:
    result = finished["result"]
    assert set(result["metrics"]) == {"dense", "factorized", "finetuned"}
    assert result["params"]["targets"]["after"] <= 0.5 * result["params"]["targets"]["before"]
    assert result["params"]["model"]["after"] < result["params"]["model"]["before"]
    assert result["bytes"]["model"]["after"] < result["bytes"]["model"]["before"]
    assert result["metrics"]["dense"]["accuracy"]["value"] > 0.9
    assert result["metrics"]["finetuned"]["accuracy"]["n"] == 60
    assert result["latency"]


def test_stages_layers_and_metrics_are_listed(client: Client, finished: Json) -> None:
    stages = client.listed(finished["id"], "stages")
    assert [stage["stage"] for stage in stages] == STAGES
    assert {stage["state"] for stage in stages} <= {"done", "skipped"}
    layers = client.listed(finished["id"], "layers")
    assert len(layers) == 12
    kept = sum(layer["params_after"] for layer in layers)
    assert kept == finished["result"]["params"]["targets"]["after"]
    metrics = client.listed(finished["id"], "metrics")
    assert {"dense", "factorized", "finetuned"} == {metric["phase"] for metric in metrics}


def test_events_are_numbered_without_holes(client: Client, finished: Json) -> None:
    events = client.listed(finished["id"], "events")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "job.queued"
    assert events[-1]["type"] == "job.succeeded"


def test_event_stream_resumes_after_the_last_id(client: Client, finished: Json) -> None:
    route = f"/v1/jobs/{finished['id']}/events"
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "3"}
    lines = client.http.get(route, headers=headers).text.splitlines()
    seqs = [json.loads(line[5:])["seq"] for line in lines if line.startswith("data:")]
    assert seqs == list(range(4, seqs[-1] + 1))


def test_artifact_downloads_verifies_and_loads_in_a_fresh_interpreter(
    client: Client, finished: Json, tmp_path: Path
) -> None:
    folder = tmp_path / "artifact"
    client.download(finished["id"], folder)
    assert check_sums(folder) >= 8
    shown = {file["name"]: file for file in client.listed(finished["id"], "artifacts")}
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert shown["model.safetensors"]["sha256"] == weights
    done = subprocess.run(
        [sys.executable, "-I", "-c", COUNT, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )
    loaded = json.loads(done.stdout)
    assert loaded["class"].startswith("Rankwise")
    assert loaded["params"] == finished["result"]["params"]["model"]["after"]


def test_another_budget_takes_adaptation_and_statistics_from_the_cache(
    client: Client, finished: Json
) -> None:
    recipe = client.recipe(budget={"type": "keep_ratio", "value": 0.3}, finetune={"type": "none"})
    plan = client.post("/v1/plans", recipe).raise_for_status().json()
    assert plan["basis"] == "cached-spectra"
    second = client.run(recipe)
    sources = {stage["stage"]: stage["source"] for stage in client.listed(second["id"], "stages")}
    assert sources["adapt"] == sources["statistics"] == "cache"
    assert sources["factorize"] == "computed"
    assert sources["finetune"] == "skipped"
    started = [event["data"] for event in client.listed(second["id"], "events")]
    assert not any(data.get("unit") and data.get("stage") == "statistics" for data in started)
    assert second["result"]["params"]["targets"]["after"] == plan["plan"]["target_params_after"]
    assert {"stage": "statistics", "source": "cache"}.items() <= next(
        stage for stage in client.listed(second["id"], "stages") if stage["stage"] == "statistics"
    ).items()
    assert finished["id"] != second["id"]


def test_a_running_job_is_cancelled(client: Client) -> None:
    job_id = client.submit(client.recipe(seed=4))
    client.wait_for_event(job_id, "stage.started", stage="adapt")
    client.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert client.wait_until_finished(job_id)["status"] == "cancelled"
    assert client.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 409
    assert client.listed(job_id, "artifacts") == []


def test_a_column_that_is_missing_is_refused_by_name(client: Client) -> None:
    recipe = client.recipe()
    recipe["task"]["text"] = "body"
    refused = client.post("/v1/jobs", recipe)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["errors"][0]["pointer"] == "/task/text"
