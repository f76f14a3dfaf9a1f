"""The front by its definition, and the knee on fronts that can be drawn by hand."""

import numpy as np
import pytest

from core.reporting.pareto import knee, on_front


def test_nothing_on_the_front_is_beaten_and_everything_else_is() -> None:
    points = [tuple(row) for row in np.random.default_rng(17).integers(0, 12, (60, 2)).tolist()]
    front = on_front(points)
    for (cost, loss), is_best in zip(points, front, strict=True):
        beaten = any(c <= cost and x <= loss and (c < cost or x < loss) for c, x in points)
        assert is_best is not beaten
    assert any(front)


def test_equal_points_are_both_on_the_front() -> None:
    assert on_front([(1, 2), (1, 2), (2, 2)]) == [True, True, False]


def test_the_knee_is_where_less_begins_to_cost_dearly() -> None:
    points = [(100, 0.0), (10, 1.0), (30, 0.1), (60, 0.05), (70, 0.9)]
    assert knee(points) == 2
    scaled = [(1000 * cost, 0.01 * loss - 5) for cost, loss in points]
    assert knee(scaled) == 2


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1, 1)],
        [(1, 2), (2, 1)],
        [(1, 2), (2, 1), (2, 1)],
        [(1, 3), (2, 2), (3, 1)],
        [(1, 3), (2.9, 2.9), (3, 1)],
    ],
    ids=["none", "one", "two", "two and an equal", "a line", "a bulge"],
)
def test_no_knee_is_made_up(points: list[tuple[float, float]]) -> None:
    assert knee(points) is None
