"""Ranks where they lower the loss that was measured with every layer truncated alone.

Hsu et al., ICLR 2022, cut the r rank-ones of a layer into groups, in the method's own order, and
remove one group at a time. With boundaries 0 = b_0 < b_1 < … < b_G = r and ΔL the measured increase
of the validation loss over the dense model,

    cumulative:  curve(b_g) = ΔL(rank b_g),
    single:      curve(b_g) = Σ_{h ≥ g} ΔL(all but the rank-ones b_h … b_{h+1}),

both 0 at full rank. A measured curve is noisy: it is raised to its monotone envelope, the largest
value at this rank or above, and never below 0; between boundaries it is interpolated. The budget is
then spent as `spectrum` spends it. On a flat curve that would spend nothing, however much is left,
though many layers that each lose nothing alone need not lose nothing together; so ε(1 − k/r)⁴, far
below what can be measured, is added: what measurements do not ask for is spread about evenly.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.planning.allocation.spectrum import Curve, ranks_along
from core.planning.budgets import admissible_ranks
from core.planning.plan import TargetLayer
from core.recipe.budget import AllocationConfig, SensitivityAllocation

EPSILON = 1e-9

Increases = Mapping[str, Sequence[float]]
"""Of every layer that can be factorized: what was measured at each of its `measured_groups`."""


def boundaries(layer: TargetLayer, groups: int) -> list[int]:
    """b_0 … b_G: groups of about equal rank, at most one for every rank-one."""
    parts = min(groups, layer.full_rank)
    return [round(layer.full_rank * g / parts) for g in range(parts + 1)]


def measured_groups(layer: TargetLayer, allocation: SensitivityAllocation) -> list[tuple[int, int]]:
    """(b_g, b_{g+1}) of every group to measure; none where the layer can only stay dense.

    Single groups add up from the last one on. Of cumulative ones nobody asks what is lost above the
    first boundary from the largest admissible rank on.
    """
    ranks = admissible_ranks(layer, allocation)
    if not ranks:
        return []
    bounds = boundaries(layer, allocation.groups)
    groups = list(pairwise(bounds))
    if allocation.measure == "single":
        return groups
    return [group for g, group in enumerate(groups) if bounds[max(0, g - 1)] < ranks[-1]]


def sensitivity_ranks(
    layers: Sequence[TargetLayer],
    allocation: SensitivityAllocation,
    allowance: int,
    increases: Increases,
) -> dict[str, int | None]:
    """The rank of every layer, None for dense. The allowance must not be below the floor."""
    curves = [measured_curve(layer, allocation, increases.get(layer.name, ())) for layer in layers]
    return ranks_along(layers, curves, allowance)


def measured_curve(
    layer: TargetLayer, allocation: SensitivityAllocation, increases: Sequence[float]
) -> Curve:
    groups = measured_groups(layer, allocation)
    at = [lower for lower, _ in groups] + [layer.full_rank]
    losses = np.array(increases, dtype=np.float64)
    if allocation.measure == "single":
        losses = np.cumsum(losses[::-1])[::-1]
    return interpolated(layer, allocation, at, envelope(losses))


def envelope(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest loss at this rank or above, and 0 at full rank."""
    return np.maximum.accumulate(np.append(losses, 0.0)[::-1])[::-1]


def interpolated(
    layer: TargetLayer, allocation: AllocationConfig, at: list[int], losses: NDArray[np.float64]
) -> Curve:
    ranks = admissible_ranks(layer, allocation)
    kept = np.array(ranks, dtype=np.int64)
    spread = EPSILON * (1 - kept / layer.full_rank) ** 4
    return Curve(
        ranks=ranks,
        cost=np.append(kept * layer.rank_cost, layer.params),
        loss=np.append(np.interp(kept, at, losses) + spread, 0.0),
    )
