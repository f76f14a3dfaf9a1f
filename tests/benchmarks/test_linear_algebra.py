"""The table of hard cases: its oracle against a slower one, and what it finds in small."""

import mpmath
import numpy as np
import pytest

from benchmarks.extended_precision import norm, singular_values, triangular_factor
from benchmarks.linear_algebra import CASES, GOAL, METHODS, excess_of, measure

DIGITS = 50


def graded(rows: int, columns: int, condition: float) -> np.ndarray:
    """Columns and rows on scales that span the condition."""
    generator = np.random.default_rng(3)
    down, across = (condition ** -np.linspace(0, 1, n) for n in (rows, columns))
    return (down[:, None] * generator.normal(size=(rows, columns)) * across).astype(np.longdouble)


@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (7, 7)])
def test_extended_singular_values_are_those_of_fifty_digits(shape: tuple[int, int]) -> None:
    matrix = graded(*shape, 1e5)
    with mpmath.workdps(DIGITS):
        exact = mpmath.svd_r(mpmath.matrix(matrix.astype(float).tolist()), compute_uv=False)
        expected = [np.longdouble(mpmath.nstr(value, 25)) for value in exact]
    found = singular_values(matrix)
    np.testing.assert_array_less(np.abs(found - expected), 1e-18 * expected[0])


def test_extended_singular_values_of_a_rank_deficient_matrix() -> None:
    matrix = graded(8, 3, 10.0) @ graded(3, 6, 10.0)
    found = singular_values(matrix)
    assert len(found) == 6
    assert (found[3:] < 1e-18 * found[0]).all()
    assert norm(found) == pytest.approx(norm(matrix), rel=1e-18)


def test_the_triangular_factor_has_the_same_gram() -> None:
    rows = graded(12, 5, 1e3)
    r = triangular_factor(rows)
    assert r.shape == (5, 5)
    assert norm(r.T @ r - rows.T @ rows) < 1e-18 * norm(rows) ** 2


@pytest.mark.parametrize("case", CASES)
def test_every_closed_form_is_at_its_optimum(case: str) -> None:
    for method, config in METHODS.items():
        for shape in ((8, 12), (12, 8)):
            assert abs(measure(CASES[case], shape, config)["excess"]) < GOAL, method


def test_an_excess_is_of_the_optimum_where_a_gram_can_tell_it() -> None:
    one = np.longdouble(1)
    assert excess_of(one * 1.1, one, 2 * one)["excess"] == pytest.approx(0.1)
    below = excess_of(one * 1.1e-8, one * 1e-8, one)
    assert below["excess"] == pytest.approx(1e-9)
    assert below["of_optimum"] == pytest.approx(0.1)
