"""Held against enumeration, and against an oracle of the hull written from its definition."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NumericalError
from core.planning.allocation.spectrum import (
    Curve,
    lower_hull,
    spectrum_ranks,
    spend,
    truncation_curve,
)
from core.planning.budgets import floor_params, kept_params, target_params
from core.planning.plan import Spectrum, TargetLayer
from core.recipe.budget import SpectrumAllocation
from tests.planning.problems import Problem, convex_spectrum, layers_of, problems, repeatable

ANY = SpectrumAllocation()
ratios = st.floats(0, 1.1)
allocations = st.builds(
    SpectrumAllocation, min_rank=st.integers(1, 3), rank_multiple=st.integers(1, 3)
)


def curves_of(problem: Problem, allocation: SpectrumAllocation = ANY) -> list[Curve]:
    layers, spectra = problem
    return [truncation_curve(layer, allocation, spectra[layer.name]) for layer in layers]


def allowance_at(layers: tuple[TargetLayer, ...], allocation: SpectrumAllocation, r: float) -> int:
    return max(floor_params(layers, allocation), int(r * target_params(layers)))


def cost_and_loss(curves: list[Curve], choices: np.ndarray) -> tuple[int, float]:
    chosen = list(zip(curves, choices, strict=True))
    return sum(int(c.cost[i]) for c, i in chosen), sum(float(c.loss[i]) for c, i in chosen)


def best_loss(curves: list[Curve], allowance: int) -> float:
    """By enumeration of all choices."""
    every = product(*(range(len(curve.cost)) for curve in curves))
    measured = (cost_and_loss(curves, np.array(choices)) for choices in every)
    return min(loss for cost, loss in measured if cost <= allowance)


def is_hull_vertex(point: int, cost: np.ndarray, loss: np.ndarray) -> bool:
    """No chord between a cheaper and a dearer point passes at or below it."""
    return not any(
        loss[a] + (loss[b] - loss[a]) * (cost[point] - cost[a]) / (cost[b] - cost[a]) <= loss[point]
        for a in range(point)
        for b in range(point + 1, len(cost))
    )


def first_gain_that_does_not_fit(curves: list[Curve], allowance: int) -> float:
    """ΔL of the docstring's bound: hull segments in order of slope until one is too dear."""
    segments = []
    for curve in curves:
        cost, loss = curve.cost, curve.loss
        vertices = [i for i in range(len(cost)) if is_hull_vertex(i, cost, loss)]
        segments += [(loss[a] - loss[b], cost[b] - cost[a]) for a, b in pairwise(vertices)]
    left = allowance - sum(int(curve.cost[0]) for curve in curves)
    falling = [(gain, cost) for gain, cost in segments if gain > 0]
    for gain, cost in sorted(falling, key=lambda segment: -segment[0] / segment[1]):
        if cost > left:
            return float(gain)
        left -= cost
    return 0.0


@repeatable
@given(problems(convex=False), allocations, ratios)
def test_never_over_budget_and_nothing_useful_left_unbought(
    problem: Problem, allocation: SpectrumAllocation, ratio: float
) -> None:
    layers, _ = problem
    allowance = allowance_at(layers, allocation, ratio)
    curves = curves_of(problem, allocation)
    choices = spend(curves, allowance)
    spent, _ = cost_and_loss(curves, choices)
    assert spent <= allowance
    for curve, choice in zip(curves, choices, strict=True):
        useful = curve.cost[choice:][curve.loss[choice:] < curve.loss[choice]]
        assert all(useful - curve.cost[choice] > allowance - spent)


@repeatable
@given(problems(convex=False), allocations, ratios, ratios)
def test_a_larger_budget_never_predicts_a_larger_loss(
    problem: Problem, allocation: SpectrumAllocation, first: float, second: float
) -> None:
    layers, _ = problem
    curves = curves_of(problem, allocation)
    losses = [
        cost_and_loss(curves, spend(curves, allowance_at(layers, allocation, ratio)))[1]
        for ratio in sorted((first, second))
    ]
    assert losses[1] <= losses[0] * (1 + 1e-9) + 1e-12


@repeatable
@given(problems(convex=True), ratios)
def test_within_the_stated_bound_of_the_best(problem: Problem, ratio: float) -> None:
    layers, _ = problem
    allowance = allowance_at(layers, ANY, ratio)
    curves = curves_of(problem)
    _, loss = cost_and_loss(curves, spend(curves, allowance))
    best = best_loss(curves, allowance)
    slack = 1e-9 * (1 + best)
    assert best - slack <= loss <= best + first_gain_that_does_not_fit(curves, allowance) + slack


@repeatable
@given(
    st.lists(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=6), min_size=1, max_size=4), ratios
)
def test_optimal_where_curves_are_convex_and_steps_cost_the_same(
    energies: list[list[float]], ratio: float
) -> None:
    # 6 × 6: ranks 1 and 2 cost 12 and 24, dense 36, and the last step must not be the steeper
    layers = layers_of([(6, 6)] * len(energies))
    spectra = {}
    for layer, values in zip(layers, energies, strict=True):
        top, second, third, *_ = sorted(values, reverse=True)
        spectra[layer.name] = convex_spectrum([top, second, third, 0, 0, 0])
    curves = curves_of((layers, spectra))
    allowance = allowance_at(layers, ANY, ratio)
    _, loss = cost_and_loss(curves, spend(curves, allowance))
    assert loss == pytest.approx(best_loss(curves, allowance), rel=1e-9, abs=1e-12)


@repeatable
@given(st.data())
def test_hull_has_exactly_its_vertices(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    cost = np.cumsum(steps)
    size = len(cost)
    heights = data.draw(st.lists(st.integers(0, 50), min_size=size, max_size=size))
    loss = np.array(heights, dtype=np.float64)
    hull = lower_hull(cost, loss).tolist()
    slopes = np.diff(loss[hull]) / np.diff(cost[hull])
    assert (hull[0], hull[-1]) == (0, size - 1)
    assert all(a < b for a, b in pairwise(slopes))
    on_hull = np.interp(cost, cost[hull], loss[hull])
    assert (on_hull <= loss + 1e-9).all()


def test_the_jump_to_dense_is_taken_when_it_is_free() -> None:
    # 20 × 20: rank 9 costs 360 of 400; a flat spectrum loses half there, dense loses nothing
    flat = {"layer.0": convex_spectrum(np.ones(20)), "layer.1": convex_spectrum(np.ones(20))}
    layers = layers_of([(20, 20)] * 2)
    assert spectrum_ranks(layers, ANY, 400 + 40, flat) == {"layer.0": None, "layer.1": 1}


@repeatable
@given(problems(convex=False), allocations, ratios)
def test_a_layer_is_below_break_even_or_dense(
    problem: Problem, allocation: SpectrumAllocation, ratio: float
) -> None:
    layers, spectra = problem
    ranks = spectrum_ranks(layers, allocation, allowance_at(layers, allocation, ratio), spectra)
    for layer in layers:
        rank = ranks[layer.name]
        assert rank is None or rank * layer.rank_cost < layer.params


def test_a_growing_budget_takes_a_layer_rank_by_rank_and_then_to_dense() -> None:
    # 20 × 20: r* = 10 costs what dense does, so 9 is the last rank
    spectra = {"layer.0": convex_spectrum(0.5 ** np.arange(20))}
    (layer,) = layers_of([(20, 20)])
    taken = [spectrum_ranks([layer], ANY, 40 * k, spectra)["layer.0"] for k in range(1, 11)]
    assert taken == [1, 2, 3, 4, 5, 6, 7, 8, 9, None]
    assert layer.break_even_rank == 10


def test_a_layer_without_loss_stays_at_its_smallest() -> None:
    spectra = {"layer.0": convex_spectrum(np.zeros(20)), "layer.1": convex_spectrum(np.ones(20))}
    ranks = spectrum_ranks(layers_of([(20, 20)] * 2), ANY, 800, spectra)
    assert ranks == {"layer.0": 1, "layer.1": None}


def test_a_rank_deficient_layer_stops_at_its_rank() -> None:
    spectra = {"layer.0": convex_spectrum([5, 4, 3] + [0] * 17)}
    assert spectrum_ranks(layers_of([(20, 20)]), ANY, 400, spectra) == {"layer.0": 3}


def test_the_layer_that_matters_gets_the_ranks() -> None:
    decay = 2.0 ** -np.arange(40)
    spectra = {"layer.0": convex_spectrum(decay), "layer.1": convex_spectrum(1000 * decay)}
    ranks = spectrum_ranks(layers_of([(40, 40)] * 2), ANY, 20 * 80, spectra)
    # 1000 ≈ 2^10: both lose alike at the margin when ten ranks apart
    assert ranks == {"layer.0": 5, "layer.1": 15}


def test_dense_layers_and_multiples_are_kept_to() -> None:
    layers = layers_of([(64, 64)] * 3)
    spectra = {layer.name: convex_spectrum(1.5 ** -np.arange(64)) for layer in layers}
    allocation = SpectrumAllocation(keep_dense=("layer.1",), rank_multiple=8, min_rank=3)
    ranks = spectrum_ranks(layers, allocation, 64 * 64 + 5 * 8 * 128, spectra)
    assert ranks["layer.1"] is None
    assert sorted((ranks["layer.0"] or 0, ranks["layer.2"] or 0)) == [16, 24]


@pytest.mark.parametrize("increase", [None, np.array([1.0, np.nan, 0, 0, 0])])
def test_a_spectrum_without_a_finite_prediction_is_an_error(increase: np.ndarray | None) -> None:
    spectra = {"layer.0": Spectrum(np.ones(4), increase)}
    with pytest.raises(NumericalError, match=r"layer\.0"):
        spectrum_ranks(layers_of([(4, 4)]), ANY, 16, spectra)


def test_the_whole_budget_is_spent_to_within_one_rank_of_the_largest() -> None:
    layers = layers_of([(384, 384)] * 4 + [(1536, 384), (384, 1536)])
    generator = np.random.default_rng(0)
    spectra = {
        layer.name: convex_spectrum(np.arange(1, 385) ** -generator.uniform(0.8, 2))
        for layer in layers
    }
    for percent in range(5, 100, 5):
        allowance = percent * target_params(layers) // 100
        ranks = spectrum_ranks(layers, ANY, allowance, spectra)
        spent = sum(kept_params(layer, ranks[layer.name]) for layer in layers)
        assert 0 <= allowance - spent < 1920
