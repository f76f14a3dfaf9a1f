"""kill -9 of runner, supervisor and broker while a real job runs: one good artifact each time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.artifact import check_sums
from demo.service import Service
from tests.end_to_end.client import Client


def descendants(service: Service) -> Iterator[psutil.Process]:
    yield from psutil.Process(service.pid).children(recursive=True)


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def runner(service: Service) -> psutil.Process:
    return next(found for found in descendants(service) if "worker.runner" in command(found))


def supervisor(service: Service) -> psutil.Process:
    """The Celery pool child: the runner's parent."""
    parent = runner(service).parent()
    assert parent is not None
    return parent


def broker(service: Service) -> psutil.Process:
    return next(found for found in descendants(service) if "valkey-server" in command(found))


@pytest.mark.parametrize("victim", [runner, supervisor, broker])
def test_kill_9_ends_in_one_good_artifact(
    client: Client,
    service: Service,
    victim: Callable[[Service], psutil.Process],
    tmp_path: Path,
) -> None:
    seed = {runner: 101, supervisor: 102, broker: 103}[victim]
    job_id = client.submit(client.recipe(seed=seed))
    client.wait_for_event(job_id, "stage.started", stage="adapt")
    victim(service).kill()
    job = client.wait_until_finished(job_id)
    assert job["status"] == "succeeded", job["error"]
    ends = [e for e in client.listed(job_id, "events") if e["type"] == "job.succeeded"]
    assert len(ends) == 1
    client.download(job_id, tmp_path / "artifact")
    check_sums(tmp_path / "artifact")
    assert job["result"]["metrics"]["finetuned"]["accuracy"]["value"] > 0.85


def test_the_service_still_takes_jobs_after_the_broker_died(
    client: Client, service: Service
) -> None:
    broker(service).kill()
    job = client.run(client.recipe(seed=104, finetune={"type": "none"}))
    assert job["attempts"] == 1
