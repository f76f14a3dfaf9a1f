"""What searching for a plan takes, beyond what every job does: memory and rows to answer."""

from collections.abc import Sequence

from core.planning.plan import LayerPlan
from core.recipe.budget import (
    BayesianAllocation,
    MaxDropBudget,
    MeasuredAllocation,
    SensitivityAllocation,
)
from core.recipe.recipe import Recipe

FACTOR_BYTES = 8
"""Of one number of a decomposition, which is kept whole in float64."""


def search_bytes(layers: Sequence[LayerPlan], recipe: Recipe) -> int:
    """8 · Σ min(out, in)·(out + in): every layer's decomposition, from which candidates are cut."""
    if not recipe.measures_plans:
        return 0
    return FACTOR_BYTES * sum(
        min(layer.out_features, layer.in_features) * (layer.out_features + layer.in_features)
        for layer in layers
        if layer.name not in recipe.allocation.keep_dense
    )


def searched_rows(layers: Sequence[LayerPlan], recipe: Recipe, train_rows: int) -> int:
    """Rows that candidates answer, at most; a validation split is no larger than train_rows."""
    budget, allocation = recipe.budget, recipe.allocation
    found = budget.evaluations * train_rows if isinstance(budget, MaxDropBudget) else 0
    if isinstance(allocation, MeasuredAllocation):
        rows = min(allocation.rows or train_rows, train_rows)
        found += rows * _measurements(len(layers), allocation)
    return found


def candidates(recipe: Recipe) -> int:
    """Plans that are factorized and measured, at most."""
    budget, allocation = recipe.budget, recipe.allocation
    if isinstance(budget, MaxDropBudget):
        return budget.evaluations
    return allocation.trials if isinstance(allocation, BayesianAllocation) else 0


def _measurements(layers: int, allocation: MeasuredAllocation) -> int:
    if isinstance(allocation, SensitivityAllocation):
        return layers * allocation.groups
    assert isinstance(allocation, BayesianAllocation)
    return allocation.trials
