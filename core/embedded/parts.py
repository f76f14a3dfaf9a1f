"""The service's parts as processes: started, watched, started again when they die, stopped."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.settings import REPOSITORY

PR_SET_PDEATHSIG = 1
SHORTEST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A part that ran this long is started again without a pause, however often it died before."""


@dataclass
class Part:
    """One process of the service; `keep` starts it again when it has died."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stop_within_s: float = 15.0
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _started_at: float = 0.0
    _start_at: float = 0.0
    _pause_s: float = SHORTEST_PAUSE_S

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the service alone, which stops in order
                preexec_fn=_die_with_service,
            )
        self._started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def keep(self) -> bool:
        """Start it again if it died and its pause is over. True: it has just been found dead."""
        if self.exit_code is None:
            return False
        now = time.monotonic()
        if self._start_at < self._started_at:
            self._plan_restart(now)
            return True
        if now >= self._start_at:
            self.restarts += 1
            self.start()
        return False

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to all that is left of it after `stop_within_s`."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self.stop_within_s)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _plan_restart(self, now: float) -> None:
        steady = now - self._started_at >= STEADY_S
        self._pause_s = SHORTEST_PAUSE_S if steady else min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._start_at = now + self._pause_s


def _die_with_service() -> None:
    """On Linux a part is told to stop when the service was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
