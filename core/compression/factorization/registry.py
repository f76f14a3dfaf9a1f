"""The factorizations by their method's tag, and what is asked of all of them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization import fwsvd, kfac, svd, svd_llm, tfwsvd
from core.compression.factorization.decomposition import Decomposition
from core.compression.layer_statistics import LayerStatistics
from core.errors import NumericalError
from core.recipe.methods import Method

HINT = "Raise the damping, calibrate on more rows, or check the weights for non-finite values."

FACTORIZATIONS: dict[str, Callable[..., Decomposition]] = {
    "svd": svd.decompose,
    "fwsvd": fwsvd.decompose,
    "svd_llm": svd_llm.decompose,
    "kfac": kfac.decompose,
    "tfwsvd": tfwsvd.decompose,
}
"""``decompose(weight, statistics, config)``, by the tag of the config."""


def decompose(
    name: str,
    weight: Float[Tensor, "out in"],
    statistics: LayerStatistics | None,
    config: Method,
) -> Decomposition:
    """One layer under one method. A solve that fails, or gives what is not finite, raises
    NumericalError with the layer's name."""
    try:
        found = FACTORIZATIONS[config.type](weight.detach(), statistics, config)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise NumericalError(f"{name}: {config.type} failed: {error}", hint=HINT) from error
    if not all(torch.isfinite(factor).all() for factor in (found.outer, found.inner)):
        raise NumericalError(f"{name}: {config.type} gave factors that are not finite", hint=HINT)
    return found
