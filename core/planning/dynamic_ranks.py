"""What is known of a model before its ranks are found in training."""

from collections.abc import Sequence

from core.planning.budgets import admissible_ranks, target_allowance
from core.planning.plan import TargetLayer
from core.recipe.budget import BytesBudget, KeepRatioBudget, ParamsBudget
from core.recipe.recipe import Recipe


def unit_layers(layers: Sequence[TargetLayer], recipe: Recipe) -> tuple[TargetLayer, ...]:
    """Those that can be smaller than dense and need not stay so."""
    return tuple(layer for layer in layers if admissible_ranks(layer, recipe.allocation))


def unit_allowance(layers: Sequence[TargetLayer], model_params: int, recipe: Recipe) -> int:
    """How many parameters all units together may hold at the end.

    Raises:
        BudgetError: the budget is below the floor.
    """
    budget = recipe.budget
    assert isinstance(budget, KeepRatioBudget | ParamsBudget | BytesBudget)
    allowance = target_allowance(budget, layers, model_params, recipe.allocation)
    in_units = {layer.name for layer in unit_layers(layers, recipe)}
    return allowance - sum(layer.params for layer in layers if layer.name not in in_units)


def dense_or(layer: TargetLayer, rank: int) -> int | None:
    return rank if rank * layer.rank_cost < layer.params else None


def full_unit_params(out_features: int, in_features: int) -> int:
    """Of a layer's units at full rank."""
    return min(out_features, in_features) * (out_features + in_features)
