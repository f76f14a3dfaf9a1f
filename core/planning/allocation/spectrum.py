"""Ranks where they lower the predicted loss most per parameter.

Every layer is a curve of choices (cost, predicted loss increase): admissible ranks, then dense at
(out·in, 0), since the jump from the break-even rank to dense is free. Spending always takes the
steepest step, from any layer's present choice to any later one of it, among those that still fit.

While everything fits, these steps are the segments of the layers' lower convex hulls in order of
slope, which is the optimum of the relaxed problem; the first segment that does not fit is where
greedy and optimum can part. Hence, for every budget, with ΔL that segment's gain:

    loss(greedy) − loss(best) < ΔL,

a single rank's gain where the curves are convex. A larger budget never predicts a larger loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import NumericalError
from core.planning.budgets import admissible_ranks
from core.planning.plan import Spectrum, TargetLayer
from core.recipe.budget import AllocationConfig


@dataclass(frozen=True)
class Curve:
    """One layer's choices by ascending cost: its admissible ranks, then dense."""

    ranks: range
    cost: NDArray[np.int64]
    """[n] parameters."""
    loss: NDArray[np.float64]
    """[n] predicted increase of the mean example loss."""

    def rank_at(self, choice: int) -> int | None:
        return self.ranks[choice] if choice < len(self.ranks) else None


@dataclass(frozen=True)
class Steps:
    """Steps between choices, steepest first; a layer's own steps keep their order."""

    layer: NDArray[np.int64]
    choice: NDArray[np.int64]
    """Where the step leads."""
    cost: NDArray[np.int64]


def spectrum_ranks(
    layers: Sequence[TargetLayer],
    allocation: AllocationConfig,
    allowance: int,
    spectra: Mapping[str, Spectrum],
) -> dict[str, int | None]:
    """The rank of every layer, None for dense. The allowance must not be below the floor."""
    curves = [truncation_curve(layer, allocation, spectra[layer.name]) for layer in layers]
    return ranks_along(layers, curves, allowance)


def ranks_along(
    layers: Sequence[TargetLayer], curves: Sequence[Curve], allowance: int
) -> dict[str, int | None]:
    """The rank of every layer when the allowance is spent on these curves."""
    choices = spend(curves, allowance)
    return {
        layer.name: curve.rank_at(choice)
        for layer, curve, choice in zip(layers, curves, choices.tolist(), strict=True)
    }


def truncation_curve(layer: TargetLayer, allocation: AllocationConfig, spectrum: Spectrum) -> Curve:
    """Raises NumericalError where the spectrum predicts no loss, or not a finite one."""
    increase = spectrum.predicted_increase
    if increase is None or not np.isfinite(increase).all():
        raise NumericalError(f"{layer.name} has no finite predicted loss increase to spread by")
    ranks = admissible_ranks(layer, allocation)
    kept = np.array(ranks, dtype=np.int64)
    return Curve(
        ranks=ranks,
        cost=np.append(kept * layer.rank_cost, layer.params),
        loss=np.append(increase[np.minimum(kept, len(increase) - 1)], 0.0),
    )


def spend(curves: Sequence[Curve], allowance: int) -> NDArray[np.int64]:
    """[layers] the choice of every layer, from all at their first up to the allowance."""
    choices = np.zeros(len(curves), dtype=np.int64)
    while True:
        left = allowance - _cost(curves, choices)
        steps = steps_within(curves, choices, left)
        taken = np.searchsorted(np.cumsum(steps.cost), left, side="right")
        if taken == 0:
            return choices
        np.maximum.at(choices, steps.layer[:taken], steps.choice[:taken])


def steps_within(curves: Sequence[Curve], choices: NDArray[np.int64], left: int) -> Steps:
    """The hull segments of what every layer can reach with `left` more parameters."""
    found = [
        _descent(curve, int(start), left) for curve, start in zip(curves, choices, strict=True)
    ]
    layer = np.repeat(np.arange(len(curves)), [len(choice) for choice, _, _ in found])
    choice, cost, slope = (np.concatenate(column) for column in zip(*found, strict=True))
    steepest = np.argsort(slope, kind="stable")
    return Steps(layer[steepest], choice[steepest], cost[steepest])


def lower_hull(cost: NDArray[np.int64], loss: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the vertices of the lower convex hull; cost ascends strictly.

    All points on or above the chord of their neighbours go at once, until none is left. The last
    point is joined by its tangent, since the dense one would take a round for every rank it jumps.
    """
    hull = np.arange(len(cost) - 1)
    while len(hull) > 2:
        slope = np.diff(loss[hull]) / np.diff(cost[hull])
        convex = np.concatenate(([True], slope[:-1] < slope[1:], [True]))
        if convex.all():
            break
        hull = hull[convex]
    if len(hull) == 0:
        return np.arange(len(cost))
    to_last = (loss[-1] - loss[hull]) / (cost[-1] - cost[hull])
    return np.append(hull[: int(np.argmax(to_last)) + 1], len(cost) - 1)


def _descent(
    curve: Curve, start: int, left: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Choices, costs and slopes of a layer's falling hull segments from its present choice on."""
    stop = int(np.searchsorted(curve.cost, curve.cost[start] + left, side="right"))
    cost, loss = curve.cost[start:stop], curve.loss[start:stop]
    hull = lower_hull(cost, loss)
    step_cost = np.diff(cost[hull])
    slope = np.maximum.accumulate(np.diff(loss[hull]) / step_cost)
    falling = slope < 0
    return start + hull[1:][falling], step_cost[falling], slope[falling]


def _cost(curves: Sequence[Curve], choices: NDArray[np.int64]) -> int:
    return sum(int(curve.cost[choice]) for curve, choice in zip(curves, choices, strict=True))
