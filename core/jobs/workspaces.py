"""A job's folder on the worker's disk, and the lock that lets one runner at a time work in it."""

import fcntl
import json
import os
import signal
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

LOCK = "lock"


class WorkspaceBusy(Exception):
    """Another runner works in the folder and cannot be ended from here."""


class WorkspaceLock:
    """Held through a file descriptor that the runner inherits: it is free when the runner is gone.

    A lease may run out while its worker is frozen and the runner computes on; the next attempt on
    the same host ends that runner before it starts its own.
    """

    def __init__(self, workspace: Path, *, patience_s: float = 10.0) -> None:
        self._path = workspace / LOCK
        self._patience_s = patience_s
        self.descriptor = -1

    def __enter__(self) -> Self:
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._patience_s
        while not _locked(self.descriptor):
            if time.monotonic() > deadline:
                os.close(self.descriptor)
                raise WorkspaceBusy(f"another runner works in {self._path.parent}")
            time.sleep(0.1)
            self._end_holder()
        os.ftruncate(self.descriptor, 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes this process's hold; the runner that inherited the descriptor keeps its own."""
        os.close(self.descriptor)

    def name_holder(self, process_group: int) -> None:
        """Write down whom to end: the runner's process group, on this host."""
        holder = {"host": socket.gethostname(), "process_group": process_group}
        os.pwrite(self.descriptor, json.dumps(holder).encode(), 0)

    @staticmethod
    def is_held(workspace: Path) -> bool:
        try:
            descriptor = os.open(workspace / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _locked(descriptor)
        finally:
            os.close(descriptor)

    def _end_holder(self) -> None:
        """Named only while it holds the lock, so that a process id given anew is never hit."""
        if _locked(self.descriptor):
            return
        try:
            holder = json.loads(os.pread(self.descriptor, 4096, 0))
        except ValueError:
            return
        if holder["host"] == socket.gethostname():
            try:
                os.killpg(holder["process_group"], signal.SIGKILL)
            except ProcessLookupError:
                return


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
