"""How many weights pruning leaves in each target layer, known from shapes."""

from collections.abc import Mapping, Sequence

from core.errors import RecipeError
from core.planning.budgets import refuse_unknown_names, share
from core.planning.plan import TargetLayer
from core.planning.planner import make_plan
from core.recipe.pruning import Pruning
from core.recipe.recipe import Recipe


def kept_weights(
    layers: Sequence[TargetLayer], model_params: int, recipe: Recipe, pruning: Pruning
) -> Mapping[str, int]:
    """By layer, at the end: its share of keep_ratio, or as many as its factors are planned to have.

    A layer that the allocation keeps dense keeps its weights.

    Raises:
        RecipeError: nothing would go.
        BudgetError: the budget is below the floor.
    """
    if pruning.keep_ratio is None:
        plan = make_plan(layers, model_params, recipe, None)
        kept = {each.name: min(each.params_after, each.params_before) for each in plan.layers}
    else:
        refuse_unknown_names(layers, recipe.allocation)
        kept = {layer.name: _left(layer, recipe, pruning.keep_ratio) for layer in layers}
    if all(kept[layer.name] == layer.params for layer in layers):
        raise RecipeError(
            "Under this budget every target layer stays dense, and no weight would be pruned.",
            hint="Say how many weights are to be left, or lower the budget.",
            pointer="/method/pruning/keep_ratio",
        )
    return kept


def _left(layer: TargetLayer, recipe: Recipe, keep_ratio: float) -> int:
    if layer.name in recipe.allocation.keep_dense:
        return layer.params
    return share(keep_ratio, layer.params)
