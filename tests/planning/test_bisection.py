"""Held against a walk over the grid of all ratios that could be asked about."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.planning.bisection import Bisection
from tests.planning.problems import repeatable

floors = st.floats(0, 0.99)
tolerances = st.floats(0.001, 0.5)


def asked(bisection: Bisection, smallest_that_meets: float) -> list[float]:
    questions = []
    while (ratio := bisection.question) is not None:
        questions.append(ratio)
        bisection.answer(ratio >= smallest_that_meets)
    return questions


def best_of_grid(floor: float, halvings: int, smallest_that_meets: float) -> float | None:
    """The smallest ratio of the finest grid that meets, by looking at all of them."""
    cells = 2**halvings
    grid = [floor + (1 - floor) * i / cells for i in range(1, cells)]
    return next((ratio for ratio in grid if ratio >= smallest_that_meets), None)


@repeatable
@given(floors, st.integers(1, 7), st.floats(0, 1.2))
def test_finds_the_smallest_of_the_grid(floor: float, halvings: int, threshold: float) -> None:
    tolerance = (1 - floor) / 2**halvings * 1.000001
    bisection = Bisection(floor, tolerance, 100)
    assert len(asked(bisection, threshold)) == halvings
    best = best_of_grid(floor, halvings, threshold)
    if best is None:
        assert bisection.found is None
    else:
        assert bisection.found == pytest.approx(best, abs=1e-9)


@repeatable
@given(floors, tolerances, st.floats(0, 1.2), st.integers(1, 12))
def test_what_is_left_is_known_before(
    floor: float, tolerance: float, threshold: float, evaluations: int
) -> None:
    bisection = Bisection(floor, tolerance, evaluations)
    foreseen = bisection.questions_left
    assert foreseen <= evaluations
    assert len(asked(bisection, threshold)) == foreseen
    assert bisection.questions_left == 0


@repeatable
@given(floors, tolerances, st.lists(st.booleans(), min_size=100, max_size=100))
def test_what_is_found_was_asked_about_and_met_whatever_the_answers(
    floor: float, tolerance: float, answers: list[bool]
) -> None:
    bisection, met = Bisection(floor, tolerance, 100), []
    for meets in answers:
        ratio = bisection.question
        if ratio is None:
            break
        assert floor < ratio < 1
        met += [ratio] if meets else []
        bisection.answer(meets)
    assert bisection.found == (min(met) if met else None)


def test_the_number_of_evaluations_bounds_it() -> None:
    bisection = Bisection(0.0, 0.001, 3)
    assert asked(bisection, 0.3) == [0.5, 0.25, 0.375]
    assert bisection.found == 0.375


def test_nothing_is_asked_where_the_floor_is_everything() -> None:
    for floor in (1.0, 1.5, math.nextafter(1.0, 0)):
        assert Bisection(floor, 0.01, 10).question is None
