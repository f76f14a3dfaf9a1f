import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.planning.loss_factor import fitted_factor
from core.planning.plan import Plan
from tests.planning.problems import repeatable

increases = st.floats(1e-6, 1e3)


def squared_error(factor: float, plans: list[tuple[float, float]]) -> float:
    return sum((math.log(m) - math.log(factor * p)) ** 2 for p, m in plans)


@repeatable
@given(st.lists(st.tuples(increases, increases), min_size=1, max_size=6))
def test_no_other_factor_is_nearer_in_logarithms(plans: list[tuple[float, float]]) -> None:
    factor = fitted_factor(plans)
    assert factor is not None
    best = squared_error(factor, plans)
    assert all(best <= squared_error(factor * off, plans) + 1e-9 for off in (0.5, 0.99, 1.01, 2))


def test_one_plan_gives_its_own_ratio() -> None:
    assert fitted_factor([(0.02, 0.1)]) == pytest.approx(5)


def test_plans_that_say_nothing_are_left_out() -> None:
    silent = [(None, 0.3), (0.2, None), (0.0, 0.1), (0.1, -0.01), (0.1, 0.0)]
    assert fitted_factor(silent) is None
    assert fitted_factor([*silent, (0.5, 1.0)]) == pytest.approx(2)


def test_a_plan_expects_what_it_predicts_times_the_factor() -> None:
    sizes = {
        "target_params_before": 9,
        "target_params_after": 6,
        "model_params_before": 9,
        "model_params_after": 6,
    }
    plan = Plan(layers=(), predicted_loss_increase=0.02, **sizes)
    assert plan.with_factor(5.0).expected_loss_increase == pytest.approx(0.1)
    assert plan.with_factor(None).expected_loss_increase is None
    silent = Plan(layers=(), predicted_loss_increase=None, **sizes)
    assert silent.with_factor(5.0).expected_loss_increase is None
