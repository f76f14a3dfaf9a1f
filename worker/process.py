"""The runner as its supervisor sees it: a process group that reports events and can be ended."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from core.recipe.events import EVENT, Event
from core.settings import REPOSITORY
from worker.assignment import STOP, Assignment

RUNNER: tuple[str, ...] = (sys.executable, "-m", "worker.runner")
READ_BYTES = 1 << 20
LONGEST_LINE = 32 << 20
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
FOR_DOWNLOADS = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "PYTHON", "PYTORCH_", "TORCH_", "HF_HOME", "XDG_")


class ProtocolError(Exception):
    """The runner wrote something that is no event."""


class RunnerProcess:
    """One runner, started at once. Leaving the context ends it and all that it started."""

    def __init__(
        self, command: Sequence[str], assignment: Assignment, *, log: Path, lock: int
    ) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            with log.open("ab") as stderr:
                self._process = subprocess.Popen(
                    command,
                    cwd=REPOSITORY,
                    env=runner_environment(assignment.threads),
                    stdin=subprocess.PIPE,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=(writing, lock),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.events_fd = reading
        self._unread = b""
        self._closed = False
        self._tell(
            assignment.model_copy(update={"events_fd": writing}).model_dump_json().encode() + b"\n"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        os.close(self.events_fd)
        self.hang_up()

    @property
    def process_group(self) -> int:
        return self._process.pid

    def read(self) -> list[Event]:
        """The events that have arrived whole. ProtocolError for a line that is none."""
        while not self._closed and len(self._unread) < LONGEST_LINE:
            try:
                chunk = os.read(self.events_fd, READ_BYTES)
            except BlockingIOError:
                break
            self._closed = not chunk
            self._unread += chunk
        *lines, self._unread = self._unread.split(b"\n")
        if len(self._unread) >= LONGEST_LINE:
            raise ProtocolError("the runner wrote a line that does not end")
        return [_parsed(line) for line in lines]

    def is_over(self) -> bool:
        """The process has ended; what it wrote before may still wait to be read."""
        return self._process.poll() is not None

    def is_silent(self) -> bool:
        """Nothing more can come: the process has closed its end of the events."""
        return self._closed

    def ask_to_stop(self) -> None:
        self._tell(STOP)

    def hang_up(self) -> None:
        """Close the runner's stdin, as the end of this process would: it exits."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def kill(self) -> None:
        """End the whole process group and wait for the runner itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ending(self) -> str:
        """How the process ended, in words."""
        code = self._process.wait()
        if code < 0:
            return f"the runner was killed by {signal.Signals(-code).name}"
        return f"the runner exited with {code} before its run was over"

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _tell(self, line: bytes) -> None:
        """A runner that is gone is noticed by its end, not here."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(line)
            self._stdin.flush()


def runner_environment(threads: int) -> dict[str, str]:
    """What a runner may know: where its libraries are, and no secret of the service."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_VARIABLES or name.upper() in FOR_DOWNLOADS or name.startswith(KEPT_PREFIXES)
    }
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
    }


def _parsed(line: bytes) -> Event:
    try:
        return EVENT.validate_json(line)
    except ValueError as error:
        raise ProtocolError(f"the runner wrote a line that is no event: {line[:200]!r}") from error
