"""A model's target layers under a method."""

from torch import nn

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics
from core.compression.low_rank import LowRankLinear
from core.compression.models.layers import linear_layer
from core.recipe.methods import Method


def decompose_target(
    model: nn.Module, name: str, statistics: LayerStatistics | None, config: Method
) -> Decomposition:
    """
    Raises:
        NumericalError: see `registry.decompose`.
    """
    dense = linear_layer(model, name)
    return decompose(name, dense.weight, statistics, config, dense.bias is not None)


def truncated_layer(
    model: nn.Module, name: str, decomposition: Decomposition, rank: int
) -> LowRankLinear:
    """What takes the layer's place at this rank."""
    factors = decomposition.truncate(rank)
    bias = decomposition.bias(factors, linear_layer(model, name).bias)
    return LowRankLinear.from_factors(factors, bias)
