"""How far the predicted increase of the loss is from the measured one, as one number.

The prediction is a sum of second-order terms, layer by layer, and ranks choices; as a number it is
several times too low, by much the same factor for the plans of one model and method. With predicted
increases p_i and measured ones m_i, the factor that minimizes Σ (log m_i − log(c p_i))² is

    c = exp(mean_i log(m_i / p_i)),

the geometric mean of the ratios. Plans whose increase is not above zero, on either side, say
nothing about a factor and are left out.
"""

import math
from collections.abc import Iterable

Increases = tuple[float | None, float | None]
"""Predicted and measured, of one plan."""


def told_by(plans: Iterable[Increases]) -> list[float]:
    """log(measured / predicted) of the plans that say something about a factor."""
    return [
        math.log(measured / predicted)
        for predicted, measured in plans
        if predicted is not None and measured is not None and predicted > 0 and measured > 0
    ]


def fitted_factor(plans: Iterable[Increases]) -> float | None:
    """None where no plan tells."""
    logs = told_by(plans)
    return math.exp(math.fsum(logs) / len(logs)) if logs else None
