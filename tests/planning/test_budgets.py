import re

import pytest

from core.errors import BudgetError, RecipeError
from core.planning.budgets import admissible_ranks, floor_params, share, target_allowance
from core.planning.plan import TargetLayer
from core.recipe.budget import (
    KeepRatioBudget,
    ParamsBudget,
    SpectrumAllocation,
    UniformAllocation,
)
from tests.planning.problems import layers_of

LAYERS = layers_of([(20, 20), (40, 20)])  # 400 and 800 parameters; a rank costs 40 and 60
UNIFORM = UniformAllocation()


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


def test_multiples_floors_and_dense_layers_bound_the_ranks() -> None:
    layer = TargetLayer("l", 40, 40)
    allocation = SpectrumAllocation(min_rank=5, rank_multiple=4)
    assert list(admissible_ranks(layer, allocation)) == [8, 12, 16]
    assert not admissible_ranks(layer, SpectrumAllocation(min_rank=20))
    assert not admissible_ranks(layer, SpectrumAllocation(keep_dense=("l",)))


def test_the_floor_is_every_layer_at_its_cheapest() -> None:
    assert floor_params(LAYERS, UNIFORM) == 40 + 60
    assert floor_params(LAYERS, SpectrumAllocation(min_rank=10)) == 400 + 600
    assert floor_params(LAYERS, SpectrumAllocation(keep_dense=("layer.1",))) == 40 + 800


def test_allowances_by_scope() -> None:
    def allowance(budget: KeepRatioBudget | ParamsBudget) -> int:
        return target_allowance(budget, LAYERS, 2000, UNIFORM)

    assert allowance(KeepRatioBudget(value=0.5)) == 600
    assert allowance(KeepRatioBudget(value=0.5, scope="model")) == 1000 - 800
    assert allowance(ParamsBudget(value=700)) == 700
    assert allowance(ParamsBudget(value=1700, scope="model")) == 900
    assert allowance(ParamsBudget(value=10**9)) == 10**9


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


def test_a_dense_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        target_allowance(
            KeepRatioBudget(value=0.5), LAYERS, 2000, SpectrumAllocation(keep_dense=("head",))
        )
    assert caught.value.pointer == "/allocation/keep_dense"
    assert "'head'" in caught.value.message
