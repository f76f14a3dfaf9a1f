"""The factors of a layer whose rank was found in training.

Its weight is a product of that rank already (see `finetuning.dynamic_ranks`): by Eckart & Young the
truncated SVD gives that product back, but for rounding.
"""

from jaxtyping import Float
from torch import Tensor

from core.compression.factorization import svd
from core.compression.factorization.decomposition import Decomposition
from core.compression.layer_statistics import LayerStatistics
from core.recipe.methods import RankdynaConfig, SvdConfig


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics | None, config: RankdynaConfig
) -> Decomposition:
    return svd.decompose(weight, None, SvdConfig())
