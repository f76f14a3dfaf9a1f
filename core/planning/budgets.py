"""From a budget to a number of parameters that the target layers may keep.

Ranks are admissible where the factors are smaller than the dense matrix: at k(out+in) = out·in the
dense matrix costs the same and loses nothing. The floor is every layer at its cheapest.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from core.errors import BudgetError, RecipeError
from core.planning.plan import TargetLayer
from core.recipe.budget import AllocationConfig, BytesBudget, KeepRatioBudget, ParamsBudget

SizeBudget = KeepRatioBudget | ParamsBudget | BytesBudget

BYTES = 4
"""Of one parameter: artifacts are stored, and models held, in float32."""


def share(value: float, of: int) -> int:
    """⌊value·of⌋ with value taken as the decimal it prints as, so that 0.29 of 100 is 29."""
    return int(Fraction(repr(value)) * of)


def admissible_ranks(layer: TargetLayer, allocation: AllocationConfig) -> range:
    """The ranks a layer may take, ascending; empty where it can only stay dense."""
    largest = (layer.params - 1) // layer.rank_cost
    if layer.name in allocation.keep_dense:
        return range(0)
    multiple = allocation.rank_multiple
    smallest = -(-allocation.min_rank // multiple) * multiple
    return range(smallest, largest + 1, multiple)


def kept_params(layer: TargetLayer, rank: int | None) -> int:
    """Parameters of a layer's factors, or of its dense matrix where the rank is None."""
    return layer.params if rank is None else rank * layer.rank_cost


def target_params(layers: Sequence[TargetLayer]) -> int:
    return sum(layer.params for layer in layers)


def floor_params(layers: Sequence[TargetLayer], allocation: AllocationConfig) -> int:
    """What the targets keep when every layer is as small as the allocation lets it be."""
    return sum(
        kept_params(layer, next(iter(admissible_ranks(layer, allocation)), None))
        for layer in layers
    )


def target_allowance(
    budget: SizeBudget,
    layers: Sequence[TargetLayer],
    model_params: int,
    allocation: AllocationConfig,
) -> int:
    """How many parameters the target layers may keep; more than they have means all dense.

    Raises BudgetError, with the floor in the budget's own scope and unit, where no allocation can
    meet it.
    """
    refuse_unknown_names(layers, allocation)
    in_scope = target_params(layers) if budget.scope == "targets" else model_params
    fixed = in_scope - target_params(layers)
    allowed = _allowed_params(budget, in_scope)
    floor = floor_params(layers, allocation) + fixed
    if allowed < floor:
        raise _below_floor(budget, allowed, floor, in_scope)
    return allowed - fixed


def _allowed_params(budget: SizeBudget, in_scope: int) -> int:
    match budget:
        case KeepRatioBudget():
            return share(budget.value, in_scope)
        case ParamsBudget():
            return budget.value
        case BytesBudget():
            return budget.value // BYTES


def refuse_unknown_names(layers: Sequence[TargetLayer], allocation: AllocationConfig) -> None:
    names = [layer.name for layer in layers]
    unknown = sorted(set(allocation.keep_dense) - set(names))
    if unknown:
        raise RecipeError(
            f"keep_dense names {unknown[0]!r}, which is no target layer of this model",
            hint=f"target layers are {names[0]} … {names[-1]}",
            pointer="/allocation/keep_dense",
        )


def _below_floor(budget: SizeBudget, allowed: int, floor: int, in_scope: int) -> BudgetError:
    ratio = math.ceil(1e6 * floor / in_scope) / 1e6
    in_bytes = isinstance(budget, BytesBudget)
    unit, least = ("bytes", BYTES * floor) if in_bytes else ("parameters", floor)
    asked = budget.value if in_bytes else allowed
    return BudgetError(
        f"the budget allows {asked:,} {unit} of the {budget.scope}; "
        f"with every layer at its lowest rank {least:,} remain (keep_ratio {ratio:g})",
        hint=f"ask for at least {least} {unit}, or a keep_ratio of {ratio:g}, "
        f"in scope {budget.scope!r}",
        pointer="/budget/value",
    )
