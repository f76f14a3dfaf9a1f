"""What the supervisor's process loads, and the small parts beside it."""

import os
import resource
import subprocess
import sys
import time

import pytest

from worker.threads import runner_threads
from worker.watchdog import Watchdog

LOADED = "import sys, {module}; print(*sorted({{'torch', 'transformers'}} & set(sys.modules)))"


def cpu_seconds_of_children() -> float:
    """Of less weight on a busy machine than the time on the wall."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cpu_seconds(command: list[str]) -> float:
    before = cpu_seconds_of_children()
    subprocess.run(command, capture_output=True, check=True)
    return cpu_seconds_of_children() - before


@pytest.mark.parametrize("module", ["worker.app", "worker.supervisor", "core.embedded.service"])
def test_no_torch_and_a_start_under_two_seconds(module: str) -> None:
    command = [sys.executable, "-c", LOADED.format(module=module)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
    # The bytecode is cached by now; a core shared with others makes one start slow, not each.
    assert any(cpu_seconds(command) < 2.0 for _ in range(3))


def test_the_watchdog_bites_once_at_its_deadline() -> None:
    bites: list[float] = []
    watchdog = Watchdog(lambda: bites.append(time.monotonic()))
    watchdog.start()
    deadline = time.monotonic() + 0.2
    watchdog.allow_until(time.monotonic() + 0.1)
    watchdog.allow_until(deadline)
    watchdog.join(5)
    assert len(bites) == 1
    assert bites[0] >= deadline


def test_a_stopped_watchdog_does_not_bite() -> None:
    bites: list[None] = []
    watchdog = Watchdog(lambda: bites.append(None))
    watchdog.start()
    watchdog.allow_until(time.monotonic() + 60)
    watchdog.stop()
    assert not bites


def test_threads_are_as_set_or_the_machines_share() -> None:
    assert runner_threads(5) == 5
    assert 1 <= runner_threads(0) <= (os.cpu_count() or 1)
