"""POST /v1/jobs and GET /v1/jobs/{id} at a steady rate while a job runs.

    python -m benchmarks.load [--rate 50] [--seconds 30]

Open loop: requests start on a fixed clock, every second one a POST, and a latency counts from the
moment the request was due, so that a stall is seen by all who wait in it. The service is the
embedded default on this machine's loopback, and its worker trains a model meanwhile.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.openapi_cases import existing
from demo.assets import model_folder
from demo.recipe import demo_recipe
from demo.service import running_service

PATIENCE_S = 60
JSON = {"Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder) / "service", model_folder().parent) as service,
    ):
        dataset = existing(service.url, service.key, Path(folder))["dataset_id"]
        recipe = demo_recipe(dataset)
        headers = {"Authorization": f"Bearer {service.key}"}
        start_job(service.url, headers, recipe)
        latencies = asyncio.run(
            measure(service.url, headers, recipe, options.rate, options.seconds)
        )
    report(latencies, options.rate)


def start_job(url: str, headers: dict[str, str], recipe: dict[str, Any]) -> None:
    """Returns once the job computes."""
    with httpx.Client(base_url=url, headers=headers) as client:
        posted = client.post("/v1/jobs", content=json.dumps(recipe), headers=JSON)
        job = posted.raise_for_status().json()["id"]
        deadline = time.monotonic() + PATIENCE_S
        while client.get(f"/v1/jobs/{job}").json()["stage"] != "adapt":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job} did not come to its first training step")
            time.sleep(0.2)


async def measure(
    url: str, headers: dict[str, str], recipe: dict[str, Any], rate: float, seconds: float
) -> dict[str, list[float]]:
    """Seconds from due to answered, by route."""
    body = json.dumps(recipe | {"name": "load", "adapt": "always"})
    latencies: dict[str, list[float]] = defaultdict(list)
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits) as client:
        jobs = [await post(client, body)]
        started = time.monotonic() + 0.1

        async def one(number: int) -> None:
            due = started + number / rate
            await asyncio.sleep(due - time.monotonic())
            if number % 2:
                jobs.append(await post(client, body))
                route = "POST /v1/jobs"
            else:
                (await client.get(f"/v1/jobs/{jobs[-1]}")).raise_for_status()
                route = "GET /v1/jobs/{id}"
            latencies[route].append(time.monotonic() - due)

        await asyncio.gather(*(one(number) for number in range(int(rate * seconds))))
    return latencies


async def post(client: httpx.AsyncClient, body: str) -> str:
    answer = await client.post("/v1/jobs", content=body, headers=JSON)
    return str(answer.raise_for_status().json()["id"])


def report(latencies: dict[str, list[float]], rate: float) -> None:
    print(f"{rate:g} requests a second while a job trains\n")
    print("| route | requests | median | p99 | worst |\n|---|---:|---:|---:|---:|")
    for route, seconds in sorted(latencies.items()):
        median, p99, worst = 1e3 * np.percentile(seconds, [50, 99, 100])
        print(f"| {route} | {len(seconds)} | {median:.1f} ms | {p99:.1f} ms | {worst:.1f} ms |")


if __name__ == "__main__":
    main()
