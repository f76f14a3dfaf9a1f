"""A run that will not fit is refused before anything is loaded, with both numbers."""

from pathlib import Path

import pytest

from core.compression.memory import free_device_bytes, free_host_bytes, refuse_too_little_memory
from core.errors import BudgetError, MemoryTooSmallError
from core.planning.planner import make_plan
from core.planning.resources import estimate_resources
from tests.planning.problems import layers_of, recipe_with

LAYERS = layers_of([(20, 20), (40, 20), (20, 40)])
PARAMS = 4000
RECIPE = recipe_with()
ESTIMATE = estimate_resources(make_plan(LAYERS, PARAMS, RECIPE, None), RECIPE, None)
PEAK = ESTIMATE.peak_bytes
GIB = 1 << 30


def check(device: str, host: int | None, on_device: int | None = None) -> None:
    refuse_too_little_memory(
        RECIPE,
        LAYERS,
        PARAMS,
        device,
        host_bytes=lambda: host,
        device_bytes=lambda _: on_device,
    )


def test_what_fits_to_the_byte_goes_on() -> None:
    check("cpu", PEAK)
    check("mps", PEAK)
    check("cuda:0", ESTIMATE.model_bytes_before, PEAK)


def test_what_is_unknown_is_not_compared() -> None:
    check("cpu", None)
    check("cuda:0", None, None)


@pytest.mark.parametrize(
    ("device", "host", "on_device", "needed", "free"),
    [
        ("cpu", PEAK - 1, None, PEAK, PEAK - 1),
        ("mps", 0, None, PEAK, 0),
        ("cuda:0", 10 * PEAK, PEAK - 1, PEAK, PEAK - 1),
        ("cuda:1", 15_999, 10 * PEAK, 16_000, 15_999),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(
    device: str, host: int, on_device: int | None, needed: int, free: int
) -> None:
    with pytest.raises(MemoryTooSmallError) as refused:
        check(device, host, on_device)
    error = refused.value
    assert (error.code, error.retryable) == ("memory_too_small", True)
    assert f"{needed:,} bytes" in error.message
    assert f"{free:,} available" in error.message
    assert error.hint is not None
    assert all(word in error.hint for word in ("batch_size", "max_length", "worker"))
    assert ("cuda" in error.message) == (needed == PEAK and device.startswith("cuda"))


def test_without_a_plan_the_budget_is_to_blame() -> None:
    recipe = recipe_with(budget={"type": "keep_ratio", "value": 1e-6})
    with pytest.raises(BudgetError):
        refuse_too_little_memory(recipe, LAYERS, PARAMS, "cpu", host_bytes=lambda: 0)


def a_host(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable:  8388608 kB\nCached: 5 kB\n"}


def test_the_host_says_what_is_available(tmp_path: Path) -> None:
    assert free_host_bytes(a_host(tmp_path, MEMINFO)) == 8 * GIB


def test_a_host_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    assert free_host_bytes(tmp_path) is None


def test_the_tightest_cgroup_above_the_process_counts(tmp_path: Path) -> None:
    slice_, unit = "sys/fs/cgroup/work.slice", "sys/fs/cgroup/work.slice/unit"
    host = a_host(
        tmp_path,
        MEMINFO
        | {
            "proc/self/cgroup": "0::/work.slice/unit\n",
            f"{unit}/memory.max": "max\n",
            f"{unit}/memory.current": f"{GIB}\n",
            f"{slice_}/memory.max": f"{4 * GIB}\n",
            f"{slice_}/memory.current": f"{3 * GIB}\n",
            f"{slice_}/memory.stat": f"anon 9\ninactive_file {GIB // 4}\nactive_file {GIB // 4}\n",
        },
    )
    assert free_host_bytes(host) == 4 * GIB - 3 * GIB + GIB // 2


def test_a_container_sees_its_group_at_the_mount(tmp_path: Path) -> None:
    mount = "sys/fs/cgroup"
    host = a_host(
        tmp_path,
        MEMINFO
        | {
            "proc/self/cgroup": "0::/\n",
            f"{mount}/memory.max": f"{2 * GIB}\n",
            f"{mount}/memory.current": f"{3 * GIB}\n",
        },
    )
    assert free_host_bytes(host) == 0


def test_version_1_is_understood_too(tmp_path: Path) -> None:
    mount = "sys/fs/cgroup/memory"
    host = a_host(
        tmp_path,
        MEMINFO
        | {
            "proc/self/cgroup": "4:cpu,cpuacct:/x\n5:memory:/docker/abc\n0::/\n",
            f"{mount}/memory.limit_in_bytes": f"{6 * GIB}\n",
            f"{mount}/memory.usage_in_bytes": f"{2 * GIB}\n",
            f"{mount}/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}\n",
            f"{mount}/docker/abc/memory.limit_in_bytes": "9223372036854771712\n",
            f"{mount}/docker/abc/memory.usage_in_bytes": "5\n",
        },
    )
    assert free_host_bytes(host) == 5 * GIB


def test_this_machine_is_read() -> None:
    free = free_host_bytes()
    if Path("/proc/meminfo").exists():
        assert free is not None
        assert free > 0
    else:
        assert free is None
    assert free_device_bytes("cpu") is None
    assert free_device_bytes("mps") is None
