"""Finding the processes that a test is about to kill."""

import os
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The ids of a process's children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def runner_of(job_id: str) -> int:
    """The process that holds the job's workspace."""
    (runner,) = runners_of(job_id)
    return runner


def runners_of(job_id: str) -> list[int]:
    """Every other process that has the workspace's lock open."""
    processes = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in processes if pid != os.getpid() and _has_lock_open(pid, job_id)]


def _has_lock_open(pid: int, job_id: str) -> bool:
    try:
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(link.endswith(f"{job_id}/lock") for link in links)
