import re

import pytest

from core.errors import BudgetError, RecipeError
from core.planning.budgets import (
    SizeBudget,
    admissible_ranks,
    floor_params,
    share,
    target_allowance,
)
from core.planning.plan import TargetLayer
from core.planning.planner import make_plan
from core.recipe.budget import (
    AllocationConfig,
    BayesianAllocation,
    BytesBudget,
    KeepRatioBudget,
    ParamsBudget,
    SensitivityAllocation,
    SpectrumAllocation,
    UniformAllocation,
)
from tests.planning.problems import convex_spectrum, layers_of, recipe_with

LAYERS = layers_of([(20, 20), (40, 20)])  # 400 and 800 parameters; a rank costs 40 and 60
UNIFORM = UniformAllocation()
ALLOCATIONS = [UniformAllocation, SpectrumAllocation, SensitivityAllocation, BayesianAllocation]
each_allocation = pytest.mark.parametrize("kind", ALLOCATIONS)


def test_share_reads_the_decimal_that_was_written() -> None:
    assert int(0.29 * 100) == 28
    assert share(0.29, 100) == 29
    assert share(1e-05, 1_000_000) == 10
    assert share(1.0, 7) == 7


@pytest.mark.parametrize(
    ("shape", "largest"), [((20, 20), 9), ((40, 20), 13), ((1, 9), 0), ((2, 2), 0), ((3, 6), 1)]
)
def test_admissible_ranks_end_where_dense_costs_no_more(
    shape: tuple[int, int], largest: int
) -> None:
    layer = TargetLayer("l", *shape)
    assert list(admissible_ranks(layer, UNIFORM)) == list(range(1, largest + 1))
    assert (largest + 1) * layer.rank_cost >= layer.params


@each_allocation
def test_multiples_floors_and_dense_layers_bound_the_ranks(kind: type[AllocationConfig]) -> None:
    layer = TargetLayer("l", 40, 40)
    assert list(admissible_ranks(layer, kind(min_rank=5, rank_multiple=4))) == [8, 12, 16]
    assert not admissible_ranks(layer, kind(min_rank=20))
    assert not admissible_ranks(layer, kind(keep_dense=("l",)))


@each_allocation
def test_the_floor_is_every_layer_at_its_cheapest(kind: type[AllocationConfig]) -> None:
    assert floor_params(LAYERS, kind()) == 40 + 60
    assert floor_params(LAYERS, kind(min_rank=10)) == 400 + 600
    assert floor_params(LAYERS, kind(keep_dense=("layer.1",))) == 40 + 800


LIMITS = {"min_rank": 3, "rank_multiple": 2, "keep_dense": ["layer.1"]}
BUDGETS = [
    {"type": "keep_ratio", "value": 0.625},
    {"type": "params", "value": 1250},
    {"type": "bytes", "value": 5003},
    {"type": "bytes", "value": 4 * 1250 + 4 * 500, "scope": "model"},
    {"type": "params", "value": 1750, "scope": "model"},
]


@pytest.mark.parametrize("allocation", ["uniform", "spectrum"])
@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b['type']}-{b.get('scope', '')}")
def test_limits_hold_under_every_budget(allocation: str, budget: dict[str, object]) -> None:
    layers = layers_of([(40, 20), (20, 20), (40, 20)])
    spectra = {layer.name: convex_spectrum([1.0] * 20) for layer in layers}
    recipe = recipe_with(budget=budget, allocation={"type": allocation, **LIMITS})
    plan = make_plan(layers, 2500, recipe, spectra)
    kept = {layer.name: layer.rank for layer in plan.layers}
    assert kept.pop("layer.1") is None
    assert all(rank is None or (rank >= 4 and rank % 2 == 0) for rank in kept.values())
    assert 1120 <= plan.target_params_after <= 1250
    floor = 400 + 2 * 4 * 60
    assert plan.target_params_after >= floor
    too_small = {"params": floor - 1, "bytes": 4 * floor - 1, "keep_ratio": 0.43}
    less = {"type": budget["type"], "value": too_small[str(budget["type"])]}
    with pytest.raises(BudgetError, match=r"880|3,520"):
        make_plan(layers, 2500, recipe.model_copy(update={"budget": parsed(less)}), spectra)


def parsed(budget: dict[str, object]) -> object:
    return recipe_with(budget=budget).budget


def test_allowances_by_scope() -> None:
    def allowance(budget: SizeBudget) -> int:
        return target_allowance(budget, LAYERS, 2000, UNIFORM)

    assert allowance(KeepRatioBudget(value=0.5)) == 600
    assert allowance(KeepRatioBudget(value=0.5, scope="model")) == 1000 - 800
    assert allowance(ParamsBudget(value=700)) == 700
    assert allowance(ParamsBudget(value=1700, scope="model")) == 900
    assert allowance(ParamsBudget(value=10**9)) == 10**9
    assert allowance(BytesBudget(value=2800)) == 700
    assert allowance(BytesBudget(value=2803)) == 700
    assert allowance(BytesBudget(value=6800, scope="model")) == 900


@pytest.mark.parametrize("scope", ["targets", "model"])
def test_below_the_floor_the_error_says_what_would_do(scope: str) -> None:
    too_small = KeepRatioBudget.model_validate({"value": 0.01, "scope": scope})
    with pytest.raises(BudgetError) as caught:
        target_allowance(too_small, LAYERS, 2000, UNIFORM)
    assert caught.value.pointer == "/budget/value"
    found = re.search(r"([\d,]+) remain \(keep_ratio ([\d.]+)\)", caught.value.message)
    assert found is not None
    params, ratio = int(found[1].replace(",", "")), float(found[2])
    for budget in (
        KeepRatioBudget.model_validate({"value": ratio, "scope": scope}),
        ParamsBudget.model_validate({"value": params, "scope": scope}),
    ):
        assert target_allowance(budget, LAYERS, 2000, UNIFORM) >= 100
    one_less = ParamsBudget.model_validate({"value": params - 1, "scope": scope})
    with pytest.raises(BudgetError):
        target_allowance(one_less, LAYERS, 2000, UNIFORM)


@pytest.mark.parametrize(("scope", "floor"), [("targets", 400), ("model", 400 + 3200)])
def test_a_floor_in_bytes(scope: str, floor: int) -> None:
    def asking(value: int) -> int:
        budget = BytesBudget.model_validate({"value": value, "scope": scope})
        return target_allowance(budget, LAYERS, 2000, UNIFORM)

    assert asking(floor) == 100
    with pytest.raises(BudgetError) as caught:
        asking(floor - 1)
    assert caught.value.pointer == "/budget/value"
    assert f"allows {floor - 1:,} bytes of the {scope}" in caught.value.message
    assert f"{floor:,} remain" in caught.value.message
    assert f"at least {floor} bytes" in str(caught.value.hint)


def test_a_dense_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        target_allowance(
            KeepRatioBudget(value=0.5), LAYERS, 2000, SpectrumAllocation(keep_dense=("head",))
        )
    assert caught.value.pointer == "/allocation/keep_dense"
    assert "'head'" in caught.value.message
