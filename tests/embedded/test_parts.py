import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from core.embedded.parts import Part

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('here', flush=True); time.sleep(60)",
]

MakePart = Callable[[list[str]], Part]


@pytest.fixture
def make_part(tmp_path: Path) -> Iterator[MakePart]:
    parts: list[Part] = []

    def make(command: list[str]) -> Part:
        parts.append(Part("part", command, os.environ, tmp_path / "log", stop_within_s=0.5))
        return parts[-1]

    yield make
    for part in parts:
        part.stop()


def keep_until(part: Part, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        part.keep()
        time.sleep(0.01)


def test_a_part_that_was_killed_is_started_again(make_part: MakePart) -> None:
    part = make_part(SLEEP)
    part.start()
    first = part.pid
    assert first is not None
    assert part.keep() is False
    os.kill(first, signal.SIGKILL)
    keep_until(part, lambda: part.restarts == 1)
    assert part.pid != first
    assert part.exit_code is None


def test_a_part_that_keeps_dying_is_started_ever_more_rarely(make_part: MakePart) -> None:
    part = make_part([sys.executable, "-c", "raise SystemExit(7)"])
    part.start()
    starts: list[float] = []
    while part.restarts < 3:
        before = part.restarts
        keep_until(part, lambda before=before: part.restarts > before)
        starts.append(time.monotonic())
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[0] > 0.5
    assert pauses[1] > pauses[0]
    keep_until(part, lambda: part.exit_code == 7)


@pytest.mark.parametrize("command", [SLEEP, STUBBORN])
def test_stopping_leaves_nothing(make_part: MakePart, command: list[str]) -> None:
    part = make_part(command)
    part.start()
    keep_until(part, lambda: part.log.exists() and "here" in part.last_words())
    part.stop()
    assert part.exit_code is not None
    assert not Path(f"/proc/{part.pid}").exists()
