"""How many threads a runner computes with."""

import os
from pathlib import Path

TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def runner_threads(setting: int) -> int:
    """The setting, or where it is 0 the physical cores that this process may use."""
    return setting or max(1, min(_physical_cores(), _cores_by_quota()))


def _physical_cores() -> int:
    """Hyper-threads share a core's arithmetic units: each set of siblings counts once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})


def _siblings(cpu: int) -> str:
    try:
        return Path(TOPOLOGY.format(cpu)).read_text()
    except OSError:
        return str(cpu)


def _cores_by_quota() -> int:
    """A container's share of CPU time, in whole cores."""
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return os.cpu_count() or 1
