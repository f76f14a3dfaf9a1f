"""Held against an enumeration of the scales at which any layer changes its rank."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.planning.allocation.by_type import ranks_by_type, type_of
from core.planning.allocation.uniform import uniform_ranks
from core.planning.budgets import admissible_ranks, floor_params, kept_params, target_params
from core.planning.plan import Ranks, TargetLayer
from core.recipe.budget import BayesianAllocation
from tests.planning.problems import repeatable

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
ratios = st.floats(0, 1.1)
proportions = st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9, 1.0])
allocations = st.builds(
    BayesianAllocation, min_rank=st.integers(1, 3), rank_multiple=st.integers(1, 3)
)
TYPES = ("query", "up", "down")


@st.composite
def blocks(draw: st.DrawFn) -> tuple[TargetLayer, ...]:
    """One to three blocks of the same layers."""
    block = draw(st.lists(shapes, min_size=1, max_size=3))
    count = draw(st.integers(1, 3))
    return tuple(
        TargetLayer(f"block.{number}.{kind}", *shape)
        for number in range(count)
        for kind, shape in zip(TYPES, block, strict=False)
    )


def spent(layers: tuple[TargetLayer, ...], ranks: Ranks) -> int:
    return sum(kept_params(layer, ranks[layer.name]) for layer in layers)


def at_scale(
    layers: tuple[TargetLayer, ...],
    allocation: BayesianAllocation,
    shares: dict[str, float],
    scale: Fraction,
) -> Ranks:
    """The docstring's equation, in exact arithmetic."""
    found: dict[str, int | None] = {}
    for layer in layers:
        kept = scale * Fraction(shares[type_of(layer.name)]) * layer.params
        ranks = admissible_ranks(layer, allocation)
        if kept >= layer.params or not ranks:
            found[layer.name] = None
        else:
            below = [rank for rank in ranks if rank * layer.rank_cost <= kept]
            found[layer.name] = below[-1] if below else ranks[0]
    return found


def largest_scaled(
    layers: tuple[TargetLayer, ...],
    allocation: BayesianAllocation,
    shares: dict[str, float],
    allowance: int,
) -> Ranks:
    """Of all scales at which some layer changes, the last one that is affordable."""
    scales = {Fraction(0)}
    for layer in layers:
        whole = Fraction(shares[type_of(layer.name)]) * layer.params
        costs = [rank * layer.rank_cost for rank in admissible_ranks(layer, allocation)]
        scales |= {Fraction(cost) / whole for cost in (*costs, layer.params)}
    affordable = [
        ranks
        for scale in sorted(scales)
        if spent(layers, ranks := at_scale(layers, allocation, shares, scale)) <= allowance
    ]
    return affordable[-1]


@st.composite
def problems(
    draw: st.DrawFn,
) -> tuple[tuple[TargetLayer, ...], BayesianAllocation, dict[str, float], int]:
    layers, allocation = draw(blocks()), draw(allocations)
    names = {type_of(layer.name) for layer in layers}
    shares = {name: draw(proportions) for name in sorted(names)}
    ratio = draw(ratios)
    allowance = max(floor_params(layers, allocation), int(ratio * target_params(layers)))
    return layers, allocation, shares, allowance


@repeatable
@given(problems())
def test_within_the_allowance_and_not_a_single_step_more_fits(
    problem: tuple[tuple[TargetLayer, ...], BayesianAllocation, dict[str, float], int],
) -> None:
    layers, allocation, shares, allowance = problem
    ranks = ranks_by_type(layers, allocation, allowance, shares)
    left = allowance - spent(layers, ranks)
    assert left >= 0
    for layer in layers:
        rank = ranks[layer.name]
        if rank is not None:
            choices = [*admissible_ranks(layer, allocation), None]
            dearer = choices[choices.index(rank) + 1]
            assert kept_params(layer, dearer) - kept_params(layer, rank) > left


@repeatable
@given(problems())
def test_no_layer_is_below_the_largest_scale_that_is_affordable(
    problem: tuple[tuple[TargetLayer, ...], BayesianAllocation, dict[str, float], int],
) -> None:
    layers, allocation, shares, allowance = problem
    ranks = ranks_by_type(layers, allocation, allowance, shares)
    oracle = largest_scaled(layers, allocation, shares, allowance)
    for layer in layers:
        assert kept_params(layer, ranks[layer.name]) >= kept_params(layer, oracle[layer.name])


@repeatable
@given(blocks(), ratios)
def test_equal_ratios_are_uniform_filled_up(layers: tuple[TargetLayer, ...], ratio: float) -> None:
    allocation = BayesianAllocation()
    allowance = max(floor_params(layers, allocation), int(ratio * target_params(layers)))
    equal = dict.fromkeys((type_of(layer.name) for layer in layers), 0.3)
    ranks = ranks_by_type(layers, allocation, allowance, equal)
    uniform = uniform_ranks(layers, allocation, allowance)
    for layer in layers:
        assert kept_params(layer, ranks[layer.name]) >= kept_params(layer, uniform[layer.name])


def test_proportions_are_kept() -> None:
    layers = tuple(
        TargetLayer(f"h.{block}.{kind}", 100, 100) for block in range(4) for kind in TYPES
    )
    shares = {"h.*.query": 0.2, "h.*.up": 0.4, "h.*.down": 0.8}
    ranks = ranks_by_type(layers, BayesianAllocation(), 56_000, shares)
    assert [ranks[f"h.2.{kind}"] for kind in TYPES] == [10, 20, 40]


def test_layers_that_can_only_stay_dense_need_no_ratio() -> None:
    layers = (TargetLayer("h.0.query", 20, 20), TargetLayer("h.0.up", 20, 20))
    allocation = BayesianAllocation(keep_dense=("h.0.up",))
    ranks = ranks_by_type(layers, allocation, 600, {"h.*.query": 0.1})
    assert ranks == {"h.0.query": 5, "h.0.up": None}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (
            "bert.encoder.layer.11.attention.self.query",
            "bert.encoder.layer.*.attention.self.query",
        ),
        ("model.layers.0.mlp.experts.3.w1", "model.layers.*.mlp.experts.*.w1"),
        ("transformer.h.0.mlp.c_fc", "transformer.h.*.mlp.c_fc"),
        ("distilbert.layer.0.ffn.lin1", "distilbert.layer.*.ffn.lin1"),
    ],
)
def test_a_type_is_a_name_without_its_numbers(name: str, kind: str) -> None:
    assert type_of(name) == kind
