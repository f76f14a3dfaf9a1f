"""A job that takes more memory or disk than it may is ended, and nothing of it is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.database.sessions import Sessions
from core.database.states import JobState
from core.jobs.claims import claim_next
from core.settings import Settings
from tests.worker.conftest import Submit
from tests.worker.processes import runners_of
from tests.worker.test_supervisor import attempts_of, row_of
from worker.limits import bytes_under, memory_of_group
from worker.supervisor import Supervisor, Workplace
from worker.wear import Wear

MB = 1 << 20
Supervise = Callable[[], JobState | None]


def supervise_within(place: Workplace, sessions: Sessions, **settings: int) -> JobState | None:
    """One attempt on a worker with these settings."""
    from time import monotonic

    bound = replace(place, settings=place.settings.model_copy(update=settings))
    claimed_at = monotonic()
    with sessions.begin() as session:
        job = claim_next(session, "default", bound.owner, bound.settings.lease_s)
    assert job is not None
    return Supervisor(bound, job, claimed_at=claimed_at).run()


@pytest.mark.parametrize(
    ("script", "limit", "code"),
    [
        ("progress:1:0 hold:200", {"max_memory_bytes": 120 * MB}, "max_memory_exceeded"),
        ("progress:1:0 fill:9", {"max_disk_bytes": 8 * MB}, "max_disk_exceeded"),
    ],
)
def test_beyond_the_recipes_own_limit_the_job_fails(
    submit_script: Submit,
    supervise: Supervise,
    sessions: Sessions,
    script: str,
    limit: dict[str, int],
    code: str,
) -> None:
    job = submit_script(script, **limit)
    assert supervise() == JobState.FAILED
    row = row_of(sessions, job)
    assert row.error is not None
    assert (row.error["code"], row.error["stage"]) == (code, "resolve")
    (field,) = limit
    assert row.error["pointer"] == f"/limits/{field}"
    assert row.crashes == 0
    assert runners_of(job.id) == []


@pytest.mark.parametrize(
    ("script", "setting", "told"),
    [
        ("hold:200", {"job_max_memory_bytes": 120 * MB}, "of memory; its worker allows 125.8 MB"),
        ("fill:9", {"job_max_disk_bytes": 8 * MB}, "of disk; its worker allows 8.4 MB"),
    ],
)
def test_beyond_the_workers_limit_it_fails_after_exactly_three_attempts(
    submit_script: Submit,
    place: Workplace,
    sessions: Sessions,
    script: str,
    setting: dict[str, int],
    told: str,
) -> None:
    job = submit_script(script)
    states = [supervise_within(place, sessions, **setting) for _ in range(3)]
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    row = row_of(sessions, job)
    assert row.error is not None
    assert row.error["code"] == "worker_crashed"
    assert told in row.error["message"]
    assert [attempt.outcome for attempt in attempts_of(sessions, job)] == ["crashed"] * 3


def test_within_its_limits_a_job_succeeds(
    submit_script: Submit, place: Workplace, sessions: Sessions
) -> None:
    submit_script("progress:3:0.5 succeed", max_memory_bytes=400 * MB, max_disk_bytes=8 * MB)
    bounds = {"job_max_memory_bytes": 400 * MB, "job_max_disk_bytes": 8 * MB}
    assert supervise_within(place, sessions, **bounds) == JobState.SUCCEEDED


def test_memory_is_that_of_the_whole_family_without_mapped_files(tmp_path: Path) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(b"x" * (64 * MB))
    program = (
        "import mmap, os, subprocess, sys\n"
        f"mapped = mmap.mmap(os.open({str(file)!r}, os.O_RDONLY), 0, prot=mmap.PROT_READ)\n"
        "sum(mapped[i] for i in range(0, len(mapped), 4096))\n"
        "held = b'x' * (32 << 20)\n"
        'child = \'held = b"x" * (32 << 20); print("ready", flush=True); input()\'\n'
        "subprocess.run([sys.executable, '-c', child])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert psutil.Process(process.pid).memory_info().rss > 96 * MB
        assert 64 * MB < memory_of_group(process.pid) < 110 * MB
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert memory_of_group(process.pid) == 0


def test_bytes_under_a_folder_are_those_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * MB)
    assert MB <= bytes_under(tmp_path) < MB + 65_536


def test_a_worker_leaves_after_its_jobs_or_when_it_has_grown(settings: Settings) -> None:
    def worker(**values: int) -> Settings:
        return settings.model_copy(update={"worker_max_memory_bytes": 0} | values)

    held = psutil.Process().memory_info().rss
    assert Wear(jobs=10**6).reason_to_leave(worker(worker_max_memory_bytes=2 * held)) is None
    assert Wear(jobs=10**6).reason_to_leave(worker()) is None
    assert Wear(jobs=2).reason_to_leave(worker(worker_max_jobs=3)) is None
    assert Wear(jobs=3).reason_to_leave(worker(worker_max_jobs=3)) == "it has done 3 jobs"
    grown = Wear().reason_to_leave(worker(worker_max_memory_bytes=held // 2))
    assert grown is not None
    assert "bytes of memory" in grown
