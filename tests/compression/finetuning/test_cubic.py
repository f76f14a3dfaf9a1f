from itertools import pairwise

import pytest

from core.compression.finetuning.cubic import CubicSchedule


def test_all_is_kept_at_first_and_as_asked_at_the_end() -> None:
    schedule = CubicSchedule(0.1, 0.3)
    kept = [schedule.kept(1000, 123, step, 100) for step in range(101)]
    assert kept[:11] == [1000] * 11
    assert kept[70:] == [123] * 31
    assert all(later <= earlier for earlier, later in pairwise(kept))


def test_it_is_cubic_between() -> None:
    schedule = CubicSchedule(0.2, 0.4)
    assert schedule.excess(40, 100) == pytest.approx(0.5**3)
    assert schedule.kept(900, 100, 40, 100) == 200


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_few_steps_meet_the_end_too(steps: int) -> None:
    assert CubicSchedule(0.1, 0.3).kept(50, 7, steps, steps) == 7


def test_no_warm_up_at_all() -> None:
    schedule = CubicSchedule(0.0, 1.0)
    assert schedule.kept(50, 7, 0, 10) == 7
