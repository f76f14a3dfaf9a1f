"""`python -m core.embedded` as a user runs it: it comes up, survives kills, and leaves nothing."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import keys
from core.embedded.broker import answers
from core.embedded.service import bootstrap_key
from core.settings import REPOSITORY, Settings


@dataclass
class Running:
    process: subprocess.Popen[str]
    settings: Settings
    block: str

    @property
    def url(self) -> str:
        match = re.search(r"http://127\.0\.0\.1:\d+", self.block)
        assert match is not None
        return match[0]

    def processes(self) -> dict[int, str]:
        """All processes with this service's data folder in environment or command, by id."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                command = _read(entry / "cmdline")
                if str(self.settings.data_dir) in command + _read(entry / "environ"):
                    found[int(entry.name)] = command
        return found

    def find(self, words: str) -> int:
        """The eldest process whose command has these words."""
        return min(pid for pid, command in self.processes().items() if words in command)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", port=0, device="cpu", threads=1)


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "core.embedded"],
        cwd=REPOSITORY,
        env=os.environ | settings.as_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    yield Running(process, settings, "".join(lines))
    process.terminate()
    process.wait(60)
    process.stdout.close()


def health(running: Running) -> int:
    with urllib.request.urlopen(f"{running.url}/healthz", timeout=5) as answer:
        return int(answer.status)


def wait_until_changed(running: Running, words: str, old: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if running.find(words) != old:
                return
        except ValueError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{words} was not started again")


def test_it_comes_up_survives_kills_and_leaves_nothing(running: Running) -> None:
    assert health(running) == 200
    assert str(running.settings.data_dir / "bootstrap-key") in running.block
    assert "/dashboard" in running.block
    for words in ("valkey-server", "-m worker"):
        killed = running.find(words)
        os.kill(killed, signal.SIGKILL)
        wait_until_changed(running, words, killed)
    assert health(running) == 200
    deadline = time.monotonic() + 10
    while not answers(running.settings.broker_socket):
        assert time.monotonic() < deadline
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert running.processes() == {}


def test_a_second_service_on_the_same_data_is_refused(running: Running) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "core.embedded"],
        cwd=REPOSITORY,
        env=os.environ | running.settings.as_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert "a service is already running on" in second.stderr
    assert health(running) == 200


def test_a_killed_service_takes_its_parts_with_it(running: Running) -> None:
    running.process.kill()
    deadline = time.monotonic() + 30
    while running.processes():
        assert time.monotonic() < deadline, running.processes()
        time.sleep(0.1)


def test_the_bootstrap_key_is_made_once_and_kept_private(settings: Settings) -> None:
    settings.data_dir.mkdir()
    key = bootstrap_key(settings)
    assert keys.parse(key) is not None
    assert bootstrap_key(settings) == key
    file = settings.data_dir / "bootstrap-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    given = keys.generate()
    assert bootstrap_key(settings.model_copy(update={"bootstrap_key": given})) == given
