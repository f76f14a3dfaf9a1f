"""The real runner, with torch, on a pipeline of the test's own."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.recipe.events import Event, RunFailed, RunnerReady, RunStopped, RunSucceeded
from tests.factories import make_recipe
from worker.assignment import Assignment
from worker.process import RunnerProcess, runner_environment

SCRIPT = Path(__file__).with_name("runner_with_pipeline.py")
REPOSITORY = Path(__file__).parents[2]

Start = Callable[[str], RunnerProcess]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    with ExitStack() as running:

        def start_it(what: str) -> RunnerProcess:
            assignment = Assignment(
                job_id="job_1",
                epoch=1,
                recipe=make_recipe(name="n").model_dump(mode="json"),
                directory=tmp_path,
                cache=tmp_path,
                model=tmp_path,
                dataset=tmp_path,
                device="cpu",
                threads=1,
                events_fd=-1,
            )
            command = [sys.executable, str(SCRIPT), what]
            return running.enter_context(
                RunnerProcess(command, assignment, log=tmp_path / "log", lock=lock)
            )

        yield start_it
    os.close(lock)


def heard(runner: RunnerProcess, until: Callable[[list[Event]], bool]) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + 60
    while not until(events) and not runner.is_silent():
        assert time.monotonic() < deadline
        select.select([runner.events_fd], [], [], 1)
        events += runner.read()
    return events


def everything(runner: RunnerProcess) -> list[Event]:
    return heard(runner, lambda _: False)


def wait_for_end(runner: RunnerProcess) -> None:
    deadline = time.monotonic() + 10
    while not runner.is_over():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_events_go_down_the_pipe_and_prints_into_the_log(start: Start, tmp_path: Path) -> None:
    runner = start("succeed")
    ready, _, last = everything(runner)
    assert isinstance(ready, RunnerReady)
    assert (ready.device, ready.threads) == ("cpu", 1)
    assert set(ready.versions) == {"python", "torch", "transformers"}
    assert last == RunSucceeded(result={"name": "n"})
    wait_for_end(runner)
    assert runner.ending() == "the runner exited with 0 before its run was over"
    assert "printed by a library" in (tmp_path / "log").read_text()


def test_a_stop_line_closes_the_pipeline_between_events(start: Start, tmp_path: Path) -> None:
    runner = start("tick")
    heard(runner, lambda events: len(events) > 5)
    assert os.getpriority(os.PRIO_PROCESS, runner.process_group) == 10
    runner.ask_to_stop()
    assert everything(runner)[-1] == RunStopped(stage="plan")
    assert (tmp_path / "closed").exists()


@pytest.mark.parametrize(
    ("what", "last"),
    [
        (
            "refuse",
            RunFailed(
                stage="plan",
                code="budget_below_floor",
                message="below the floor",
                hint="keep more",
                pointer="/budget/value",
            ),
        ),
        (
            "break",
            RunFailed(
                stage="plan",
                code="internal_error",
                message="the run broke with ValueError; the worker's log has the trace",
            ),
        ),
        *(
            (
                what,
                RunFailed(
                    stage="plan",
                    code="disk_full",
                    message="the worker's disk has no room left for this run",
                    hint="make room, then retry: finished stages and checkpoints are kept",
                    retryable=True,
                ),
            )
            for what in ("fill", "fill by a library")
        ),
        (
            "starve",
            RunFailed(
                stage="plan",
                code="out_of_device_memory",
                message="the device has too little memory for this run",
                retryable=True,
            ),
        ),
    ],
)
def test_a_failure_is_told_without_its_trace(
    start: Start, tmp_path: Path, what: str, last: RunFailed
) -> None:
    assert everything(start(what))[-1] == last
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_runner_without_a_supervisor_exits(start: Start) -> None:
    runner = start("tick")
    heard(runner, lambda events: len(events) > 2)
    runner.hang_up()
    wait_for_end(runner)
    assert runner.ending() == "the runner exited with 3 before its run was over"


def test_a_runner_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("DATABASE_URL", "RANKWISE_BOOTSTRAP_KEY", "REDIS_URL", "HF_TOKEN", "AWS_SECRET")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    environment = runner_environment(3)
    assert "secret" not in environment.values()
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["TOKENIZERS_PARALLELISM"] == "false"
    assert environment["OMP_NUM_THREADS"] == "3"
