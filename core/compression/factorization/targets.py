"""A model's target layers under a method."""

from torch import nn

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics
from core.compression.low_rank import Factors
from core.compression.models.factorized import Layers, low_rank_layers, target_bias, target_weight
from core.recipe.methods import Method


def decompose_target(
    model: nn.Module, name: str, statistics: LayerStatistics | None, config: Method
) -> Decomposition:
    """
    Raises:
        NumericalError: see `registry.decompose`.
    """
    has_bias = target_bias(model, name) is not None
    return decompose(name, target_weight(model, name), statistics, config, has_bias)


def replacement(
    model: nn.Module, name: str, decomposition: Decomposition, factors: Factors
) -> Layers:
    """What takes the target's place with these factors, cut from its decomposition."""
    bias = decomposition.bias(factors, target_bias(model, name))
    return low_rank_layers(model, name, factors, bias)
