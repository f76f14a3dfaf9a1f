"""Time from POST /v1/jobs to the supervisor's `job.running` and to the runner's first event.

    python -m benchmarks.job_start [--jobs 10]

The service is the embedded default, in a folder of its own; each job is cancelled once its runner
has reported. Times come from the rows' own created_at, all written by one machine's clock.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from demo.assets import model_folder, write_texts
from demo.service import running_service

POLL_S = 0.05
PATIENCE_S = 60


@dataclass(frozen=True)
class Start:
    running_s: float
    torch_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        starts = measure(Path(folder), jobs)
    report(starts)


def measure(folder: Path, jobs: int) -> list[Start]:
    texts = folder / "texts.csv"
    write_texts(texts)
    with (
        running_service(folder / "service", model_folder().parent) as service,
        httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {service.key}"}
        ) as client,
    ):
        dataset = client.post("/v1/datasets", files={"file": ("texts.csv", texts.read_bytes())})
        recipe = small_recipe(dataset.raise_for_status().json()["id"])
        return [start_once(client, recipe) for _ in range(jobs)]


def small_recipe(dataset_id: str) -> dict[str, Any]:
    return {
        "model": {"type": "path", "path": str(model_folder())},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "upload", "id": dataset_id},
        },
        "budget": {"type": "keep_ratio", "value": 0.3},
    }


def start_once(client: httpx.Client, recipe: dict[str, Any]) -> Start:
    posted = client.post("/v1/jobs", content=json.dumps(recipe), headers=JSON).raise_for_status()
    job = posted.json()
    times = wait_for_events(client, job["id"], {"job.running", "runner.ready"})
    client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    wait_until_finished(client, job["id"])
    created = datetime.fromisoformat(job["created_at"])
    return Start(
        running_s=(times["job.running"] - created).total_seconds(),
        torch_s=(times["runner.ready"] - created).total_seconds(),
    )


JSON = {"Content-Type": "application/json"}


def wait_for_events(client: httpx.Client, job_id: str, wanted: set[str]) -> dict[str, datetime]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        events = client.get(f"/v1/jobs/{job_id}/events").raise_for_status().json()["data"]
        seen = {event["type"]: datetime.fromisoformat(event["created_at"]) for event in events}
        if wanted <= set(seen):
            return seen
        time.sleep(POLL_S)
    raise TimeoutError(f"{job_id} did not report {wanted} within {PATIENCE_S} s")


def wait_until_finished(client: httpx.Client, job_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if client.get(f"/v1/jobs/{job_id}").json()["finished_at"]:
            return
        time.sleep(POLL_S)
    raise TimeoutError(f"{job_id} did not end within {PATIENCE_S} s of its cancel")


def report(starts: list[Start]) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"POST to …, {len(starts)} jobs, commit {commit}\n")
    print("| | median | worst |\n|---|---:|---:|")
    for label, values in (
        ("`job.running`", [start.running_s for start in starts]),
        ("`runner.ready` (torch loaded)", [start.torch_s for start in starts]),
    ):
        print(f"| {label} | {statistics.median(values):.3f} s | {max(values):.3f} s |")


if __name__ == "__main__":
    main()
