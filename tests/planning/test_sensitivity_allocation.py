"""Measured curves made by hand; the spending itself is `spectrum`'s and has its own oracles."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.planning.allocation.sensitivity import (
    boundaries,
    envelope,
    measured_curve,
    measured_groups,
    sensitivity_ranks,
)
from core.planning.budgets import admissible_ranks, floor_params, kept_params, target_params
from core.planning.plan import TargetLayer
from core.recipe.budget import SensitivityAllocation
from tests.planning.problems import layers_of, repeatable

TEN = SensitivityAllocation()
SINGLE = SensitivityAllocation(measure="single")
LAYER = TargetLayer("l", 100, 100)
sides = st.integers(1, 60)
groups = st.integers(2, 12)


@repeatable
@given(sides, sides, groups)
def test_groups_of_about_equal_rank_cover_every_rank_one(out: int, into: int, parts: int) -> None:
    bounds = boundaries(TargetLayer("l", out, into), parts)
    assert (bounds[0], bounds[-1]) == (0, min(out, into))
    sizes = np.diff(bounds)
    assert len(sizes) == min(parts, out, into)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_a_tenth_at_a_time() -> None:
    assert boundaries(LAYER, 10) == list(range(0, 101, 10))


@repeatable
@given(sides, sides, groups, st.integers(1, 9))
def test_what_is_not_measured_is_asked_by_no_rank(
    out: int, into: int, parts: int, min_rank: int
) -> None:
    layer = TargetLayer("l", out, into)
    allocation = SensitivityAllocation(groups=parts, min_rank=min_rank)
    ranks = admissible_ranks(layer, allocation)
    measured = measured_groups(layer, allocation)
    assert bool(measured) == bool(ranks)
    if ranks:
        last = measured[-1][0]
        assert last >= ranks[-1] or measured[-1][1] == layer.full_rank
        fewer = [lower for lower, _ in measured[:-1]]
        assert all(lower < ranks[-1] for lower in fewer)


def test_above_break_even_only_the_boundary_next_to_it_is_measured() -> None:
    assert [lower for lower, _ in measured_groups(LAYER, TEN)] == [0, 10, 20, 30, 40, 50]
    assert [lower for lower, _ in measured_groups(LAYER, SINGLE)] == list(range(0, 100, 10))


def test_cumulative_losses_are_read_off_between_boundaries() -> None:
    curve = measured_curve(LAYER, TEN, [5.0, 1.0, 0.6, 0.4, 0.2, 0.1])
    at = dict(zip(curve.ranks, curve.loss, strict=False))
    assert at[10] == pytest.approx(1.0, abs=1e-8)
    assert at[15] == pytest.approx(0.8, abs=1e-8)
    assert at[49] == pytest.approx(0.11, abs=1e-8)
    assert curve.loss[-1] == 0


def test_single_groups_add_up_from_the_last_one_on() -> None:
    curve = measured_curve(LAYER, SINGLE, [9, 1, 0.5, 0.2, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01])
    at = dict(zip(curve.ranks, curve.loss, strict=False))
    assert at[10] == pytest.approx(1.95, abs=1e-8)
    assert at[40] == pytest.approx(0.25, abs=1e-8)
    assert at[35] == pytest.approx(0.35, abs=1e-8)


@repeatable
@given(st.lists(st.floats(-1, 5), min_size=1, max_size=10))
def test_the_envelope_is_the_lowest_falling_curve_above_the_noise(losses: list[float]) -> None:
    found = envelope(np.array(losses))
    oracle = [max([0.0, *losses[place:]]) for place in range(len(losses) + 1)]
    assert found.tolist() == oracle


@repeatable
@given(
    st.lists(st.lists(st.floats(-0.1, 3), min_size=6, max_size=6), min_size=1, max_size=3),
    st.floats(0, 1.1),
    groups,
)
def test_never_over_budget(losses: list[list[float]], ratio: float, parts: int) -> None:
    allocation = SensitivityAllocation(groups=parts)
    layers = layers_of([(8, 12)] * len(losses))
    allowance = max(floor_params(layers, allocation), int(ratio * target_params(layers)))
    increases = {
        layer.name: found[: len(measured_groups(layer, allocation))]
        + [0.0] * max(0, len(measured_groups(layer, allocation)) - 6)
        for layer, found in zip(layers, losses, strict=True)
    }
    ranks = sensitivity_ranks(layers, allocation, allowance, increases)
    assert sum(kept_params(layer, ranks[layer.name]) for layer in layers) <= allowance


@repeatable
@given(
    st.lists(
        st.lists(st.floats(0.01, 3), min_size=3, max_size=3).map(sorted),
        min_size=1,
        max_size=4,
    ),
    st.floats(0, 1.1),
)
def test_the_best_of_all_plans_where_curves_are_convex(
    falls: list[list[float]], ratio: float
) -> None:
    # 6 × 6 in groups of one: ranks 1 and 2 cost 12 and 24, dense 36, each step gains less
    allocation = SensitivityAllocation(groups=6)
    layers = layers_of([(6, 6)] * len(falls))
    curves = {
        layer.name: [last + middle + first, last + middle, last]
        for layer, (last, middle, first) in zip(layers, falls, strict=True)
    }
    allowance = max(floor_params(layers, allocation), int(ratio * target_params(layers)))
    ranks = sensitivity_ranks(layers, allocation, allowance, curves)

    def lost(plan: tuple[int | None, ...]) -> float:
        return sum(
            0.0 if rank is None else curves[layer.name][rank]
            for layer, rank in zip(layers, plan, strict=True)
        )

    every = product((1, 2, None), repeat=len(layers))
    affordable = [
        plan
        for plan in every
        if sum(kept_params(layer, rank) for layer, rank in zip(layers, plan, strict=True))
        <= allowance
    ]
    found = lost(tuple(ranks[layer.name] for layer in layers))
    assert found == pytest.approx(min(map(lost, affordable)), abs=1e-7)


def test_ranks_go_where_the_loss_falls() -> None:
    layers = layers_of([(100, 100)] * 2)
    flat, steep = [0.02, 0.01, 0, 0, 0, 0], [9.0, 6.0, 4.0, 2.0, 1.0, 0.5]
    ranks = sensitivity_ranks(layers, TEN, 10_000, {"layer.0": flat, "layer.1": steep})
    assert ranks["layer.1"] is None or ranks["layer.1"] >= 40
    assert ranks["layer.0"] is not None
    assert ranks["layer.0"] <= 10


def test_where_nothing_was_lost_the_budget_is_spread_about_evenly() -> None:
    layers = layers_of([(100, 100)] * 4)
    silent = {layer.name: [0.0] * 6 for layer in layers}
    ranks = sensitivity_ranks(layers, TEN, 16_000, silent)
    assert all(rank is not None and 15 <= rank <= 25 for rank in ranks.values()), ranks


def test_kept_dense_layers_are_not_measured() -> None:
    allocation = SensitivityAllocation(keep_dense=("layer.0",))
    layers = layers_of([(20, 20)] * 2)
    assert measured_groups(layers[0], allocation) == []
    ranks = sensitivity_ranks(layers, allocation, 600, {"layer.1": [3.0, 2, 1, 0.5, 0.2, 0.1]})
    assert ranks == {"layer.0": None, "layer.1": 5}
