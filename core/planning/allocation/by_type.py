"""A keep ratio for each type of layer, brought onto a budget exactly.

A type is a layer's name without its numbers: all blocks' queries are one. Ratios ρ_t are
proportions; with one scale s for all of them layer l of type t gets

    k_l = ⌊min(1, s ρ_t) · out·in / (out+in)⌋,      dense where s ρ_t ≥ 1,

for the largest s that the allowance affords. What is then left buys further ranks, one at a time,
where the next one is nearest to s ρ_t out·in, until not a single one fits.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from core.planning.budgets import admissible_ranks, kept_params, target_params
from core.planning.plan import TargetLayer
from core.recipe.budget import AllocationConfig

HALVINGS = 60


def type_of(name: str) -> str:
    """bert.encoder.layer.3.attention.self.query → bert.encoder.layer.*.attention.self.query"""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def ranks_by_type(
    layers: Sequence[TargetLayer],
    allocation: AllocationConfig,
    allowance: int,
    ratios: Mapping[str, float],
) -> dict[str, int | None]:
    """The rank of every layer, None for dense. The allowance must not be below the floor.

    A type that has no ratio is one whose layers can only stay dense.
    """
    if allowance >= target_params(layers):
        return dict.fromkeys((layer.name for layer in layers), None)
    shares = [ratios.get(type_of(layer.name), 1.0) for layer in layers]
    steps = [_steps(layer, allocation) for layer in layers]

    def places(scale: float) -> list[int]:
        return [
            _place(own, scale * share * layer.params)
            for own, share, layer in zip(steps, shares, layers, strict=True)
        ]

    def cost(chosen: list[int]) -> int:
        return sum(own[place] for own, place in zip(steps, chosen, strict=True))

    low, high = 0.0, 1 / min(shares)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(places(middle)) <= allowance else (low, middle)
    chosen = places(low)
    wanted = [low * share * layer.params for share, layer in zip(shares, layers, strict=True)]
    _fill(chosen, steps, wanted, allowance - cost(chosen))
    return {
        layer.name: _rank_at(layer, allocation, place)
        for layer, place in zip(layers, chosen, strict=True)
    }


def _steps(layer: TargetLayer, allocation: AllocationConfig) -> list[int]:
    """The parameters of a layer's choices, ascending: its admissible ranks, then dense."""
    ranks = admissible_ranks(layer, allocation)
    return [kept_params(layer, rank) for rank in (*ranks, None)]


def _place(steps: list[int], wanted: float) -> int:
    """The largest choice within what is wanted, at least the first."""
    return max(0, bisect_right(steps, wanted) - 1)


def _fill(chosen: list[int], steps: list[list[int]], wanted: list[float], left: int) -> None:
    while True:
        open_ = [
            (own[place + 1] - max(wants, own[place]), number)
            for number, (own, place, wants) in enumerate(zip(steps, chosen, wanted, strict=True))
            if place + 1 < len(own) and own[place + 1] - own[place] <= left
        ]
        if not open_:
            return
        _, number = min(open_)
        left -= steps[number][chosen[number] + 1] - steps[number][chosen[number]]
        chosen[number] += 1


def _rank_at(layer: TargetLayer, allocation: AllocationConfig, place: int) -> int | None:
    ranks = admissible_ranks(layer, allocation)
    return ranks[place] if place < len(ranks) else None
