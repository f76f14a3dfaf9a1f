"""A range of time from finished jobs: scaled by work, and silent without history."""

import numpy as np
import pytest

from core.planning.durations import FEWEST, time_range, usual_seconds
from core.planning.resources import CPU_FLOPS


def test_a_deployment_that_is_twice_as_fast_is_known_to_be() -> None:
    work = [int(n * 1e12) for n in (1, 5, 20, 50)]
    found = time_range(int(1e13), [(w, usual_seconds(w) / 2) for w in work])
    assert found is not None
    assert found.low_s == found.high_s == pytest.approx(usual_seconds(int(1e13)) / 2, abs=0.1)
    assert found.jobs == 4


def test_eight_of_ten_jobs_fall_into_the_range() -> None:
    chooser = np.random.default_rng(17)
    factors = np.exp(chooser.normal(0, 0.5, 2000))
    jobs = [(int(CPU_FLOPS * 100), float(f * 120)) for f in factors[:1000]]
    found = time_range(int(CPU_FLOPS * 100), jobs)
    assert found is not None
    inside = (factors[1000:] * 120 >= found.low_s) & (factors[1000:] * 120 <= found.high_s)
    assert inside.mean() == pytest.approx(0.8, abs=0.04)


def test_nothing_is_said_without_enough_history_or_work() -> None:
    jobs = [(10**12, 60.0)] * FEWEST
    assert time_range(10**12, jobs[1:]) is None
    assert time_range(None, jobs) is None
