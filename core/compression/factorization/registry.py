"""The factorizations by their method's tag, and what is asked of all of them."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization import (
    asvd,
    bolaco,
    fwsvd,
    kfac,
    lpaf,
    rankdyna,
    svd,
    svd_llm,
    tfwsvd,
)
from core.compression.factorization.decomposition import Decomposition
from core.compression.layer_statistics import LayerStatistics
from core.errors import NumericalError
from core.recipe.methods import Method
from core.recipe.statistics import Statistic

HINT = "Raise the damping, calibrate on more rows, or check the weights for non-finite values."

FACTORIZATIONS: dict[str, Callable[..., Decomposition]] = {
    "svd": svd.decompose,
    "fwsvd": fwsvd.decompose,
    "asvd": asvd.decompose,
    "svd_llm": svd_llm.decompose,
    "bolaco": bolaco.decompose,
    "kfac": kfac.decompose,
    "tfwsvd": tfwsvd.decompose,
    "lpaf": lpaf.decompose,
    "rankdyna": rankdyna.decompose,
}
"""``decompose(weight, statistics, config)``, by the tag of the config."""


def decompose(
    name: str,
    weight: Float[Tensor, "out in"],
    statistics: LayerStatistics | None,
    config: Method,
    has_bias: bool = True,
) -> Decomposition:
    """One layer under one method.

    A mean of the inputs that no bias can make up for is kept from the method.

    Raises:
        NumericalError: the weight is not finite, or a solve fails or gives what is not finite;
            names the layer.
    """
    if not torch.isfinite(weight).all():
        raise NumericalError(f"{name}: the weight holds values that are not finite", hint=HINT)
    if statistics is not None and not has_bias:
        statistics = statistics.without(Statistic.INPUT_SUM)
    try:
        found = FACTORIZATIONS[config.type](weight.detach(), statistics, config)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise NumericalError(f"{name}: {config.type} failed: {error}", hint=HINT) from error
    if not np.isfinite(found.spectrum.squared_singular_values).all():
        raise NumericalError(f"{name}: {config.type} gave values that are not finite", hint=HINT)
    return found
