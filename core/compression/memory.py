"""Memory is compared with the estimate before anything is loaded, on the host and on the device.

A run that would not fit is refused with both numbers, instead of being killed hours later.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch

from core.errors import MemoryTooSmallError
from core.planning.plan import TargetLayer
from core.planning.planner import make_plan
from core.planning.resources import estimate_resources
from core.recipe import Recipe

ROOT = Path("/")
HINT = (
    "Set a smaller batch_size or max_length, or retry where a worker has more memory; "
    "POST /v1/plans shows the estimate as resources.peak_bytes."
)


class Accounting(NamedTuple):
    """How one version of cgroups calls its files, and what of the usage the kernel gives back."""

    mount: str
    limit: str
    usage: str
    reclaimable: tuple[str, str]


CGROUP_1 = Accounting(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
CGROUP_2 = Accounting(
    "sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file")
)


def refuse_too_little_memory(
    recipe: Recipe,
    layers: Sequence[TargetLayer],
    model_params: int,
    device: str,
    *,
    host_bytes: Callable[[], int | None] | None = None,
    device_bytes: Callable[[str], int | None] | None = None,
) -> None:
    """Compare the plan that shapes allow with what is free now. None is unknown: not compared.

    On a device of its own the host only holds the dense model on its way there.

    Raises:
        MemoryTooSmallError: the estimate is above what is free.
        BudgetError: there is no plan.
    """
    host_bytes, device_bytes = host_bytes or free_host_bytes, device_bytes or free_device_bytes
    resources = estimate_resources(make_plan(layers, model_params, recipe, None), recipe, None)
    if not device.startswith("cuda"):
        _compare("this worker", resources.peak_bytes, host_bytes())
        return
    _compare("this worker", resources.model_bytes_before, host_bytes())
    _compare(f"its device {device}", resources.peak_bytes, device_bytes(device))


def _compare(where: str, needed: int, free: int | None) -> None:
    if free is None or needed <= free:
        return
    raise MemoryTooSmallError(
        f"The run is estimated to need {needed:,} bytes of memory; {where} has {free:,} available.",
        hint=HINT,
    )


def free_device_bytes(device: str) -> int | None:
    """What a CUDA device has free, other processes' use left out; None for the rest."""
    if not device.startswith("cuda"):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def free_host_bytes(root: Path = ROOT) -> int | None:
    """What this process may still take: of the host, and of every cgroup that it is in.

    None where the kernel does not say (macOS).
    """
    rooms = [*_host_room(root), *_cgroup_rooms(root)]
    return min(rooms) if rooms else None


def _host_room(root: Path) -> Iterator[int]:
    """MemAvailable: what can be had without swapping, page cache included."""
    for line in _lines(root / "proc/meminfo"):
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            yield 1024 * int(amount.split()[0])


def _cgroup_rooms(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _rooms_upwards(root, CGROUP_2, path)
        elif "memory" in controllers.split(","):
            yield from _rooms_upwards(root, CGROUP_1, path)


def _rooms_upwards(root: Path, files: Accounting, path: str) -> Iterator[int]:
    """Of the process's own group and each above it; in a container only the mount is there."""
    own = PurePosixPath("/") / path
    for group in (own, *own.parents):
        room = _room(root / files.mount / group.relative_to("/"), files)
        if room is not None:
            yield room


def _room(group: Path, files: Accounting) -> int | None:
    """Limit less usage, page cache counted as free; None without a limit."""
    limit, usage = _number(group / files.limit), _number(group / files.usage)
    if limit is None or usage is None:
        return None
    counts = dict(line.split(" ", 1) for line in _lines(group / "memory.stat"))
    cached = sum(int(counts.get(name, 0)) for name in files.reclaimable)
    return max(0, limit - usage + cached)


def _number(path: Path) -> int | None:
    """None for a file that is not there, and for `max`."""
    text = "".join(_lines(path))
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
