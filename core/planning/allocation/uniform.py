"""The same ratio in every layer: by parameters, or by rank as the papers do."""

from bisect import bisect_right
from collections.abc import Collection, Sequence

from core.planning.budgets import admissible_ranks, kept_params, share, target_params
from core.planning.plan import TargetLayer
from core.recipe.budget import AllocationConfig


def uniform_ranks(
    layers: Sequence[TargetLayer], allocation: AllocationConfig, allowance: int
) -> dict[str, int | None]:
    """k = ⌊ρ·out·in/(out+in)⌋ with one keep ratio ρ for all layers; None is dense.

    ρ is allowance / all, lowered only where layers held dense or at their smallest rank would go
    over the allowance; ρ ≥ 1 leaves everything dense. The allowance must not be below the floor.
    """
    total = target_params(layers)
    if allowance >= total:
        return {layer.name: None for layer in layers}

    def spent(share_of_total: int) -> int:
        return sum(
            kept_params(layer, _rank_at(layer, allocation, share_of_total, total))
            for layer in layers
        )

    spread = bisect_right(range(allowance + 1), allowance, key=spent) - 1
    return {layer.name: _rank_at(layer, allocation, spread, total) for layer in layers}


def rank_ratio_ranks(
    layers: Sequence[TargetLayer], value: float, keep_dense: Collection[str] = ()
) -> dict[str, int | None]:
    """k = max(1, int(value·min(out, in))) in every layer, as the papers count.

    Above the break-even rank out·in/(out+in) the factors are LARGER than the dense matrix; they are
    kept all the same, so that the papers' tables can be repeated.
    """
    return {
        layer.name: None if layer.name in keep_dense else max(1, share(value, layer.full_rank))
        for layer in layers
    }


def _rank_at(
    layer: TargetLayer, allocation: AllocationConfig, share_of_total: int, total: int
) -> int | None:
    """The largest admissible rank within the layer's share of the allowance, at least the first."""
    ranks = admissible_ranks(layer, allocation)
    affordable = share_of_total * layer.params // (total * layer.rank_cost)
    return ranks[max(0, bisect_right(ranks, affordable) - 1)] if ranks else None
