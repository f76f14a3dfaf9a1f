import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.jobs.workspaces import WorkspaceBusy, WorkspaceLock


def start_holder(workspace: Path) -> subprocess.Popen[bytes]:
    """A process that inherits the lock, as a runner does, and goes on without its parent."""
    with WorkspaceLock(workspace) as lock:
        holder = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            pass_fds=(lock.descriptor,),
            start_new_session=True,
        )
        lock.name_holder(holder.pid)
    return holder


def test_the_lock_is_held_as_long_as_the_runner_lives(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    assert WorkspaceLock.is_held(tmp_path)
    holder.kill()
    holder.wait()
    assert not WorkspaceLock.is_held(tmp_path)


@pytest.mark.parametrize("state", [signal.SIGCONT, signal.SIGSTOP])
def test_the_next_attempt_ends_a_runner_that_was_left_behind(
    tmp_path: Path, state: signal.Signals
) -> None:
    holder = start_holder(tmp_path)
    os.kill(holder.pid, state)
    with WorkspaceLock(tmp_path):
        assert holder.wait(5) == -signal.SIGKILL


def test_a_holder_of_another_host_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = start_holder(tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    started = time.monotonic()
    with pytest.raises(WorkspaceBusy), WorkspaceLock(tmp_path, patience_s=0.3):
        pass
    assert time.monotonic() - started < 3
    assert holder.poll() is None
    holder.kill()
    holder.wait()
