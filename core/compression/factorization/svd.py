"""Truncated singular value decomposition.

Eckart & Young, The approximation of one matrix by another of lower rank, Psychometrika 1936:
``W = U Σ Vᵀ``, and ``Ŵ = U_k Σ_k V_kᵀ`` minimizes ‖W − Ŵ‖_F over matrices of rank k.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, decomposition, nested
from core.compression.factorization.diagonals import increase_of_projections
from core.compression.factorization.loss_unit import kronecker_unit, trailing_block_sums
from core.compression.layer_statistics import LayerStatistics
from core.recipe.methods import SvdConfig
from core.recipe.statistics import Statistic


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics | None, config: SvdConfig
) -> Decomposition:
    """Statistics are read only to predict the loss, where there are any."""
    w = weight.double()
    u, s, vt = torch.linalg.svd(w, full_matrices=False)
    if statistics is not None and statistics.diagonal:
        increase = increase_of_projections(u, s[:, None] * vt, statistics)
    else:
        increase = predicted_increase(u, vt, statistics)
    return decomposition(weight, nested(u * s, vt), s.square(), increase, squared_norm)


def predicted_increase(
    u: Float[Tensor, "out r"], vt: Float[Tensor, "r in"], statistics: LayerStatistics | None
) -> Float[Tensor, "r_plus_1"] | None:
    """In the two-sided metric, see `loss_unit`; None without its Grams."""
    if statistics is None:
        return None
    smaller_out = len(u) <= vt.shape[1]
    if smaller_out and statistics.has(Statistic.OUTPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM):
        c, g = statistics[Statistic.OUTPUT_GRAM], statistics[Statistic.OUTPUT_GRAD_GRAM]
        return trailing_block_sums(u.T @ c @ u, u.T @ g @ u) * kronecker_unit(statistics)
    if not smaller_out and statistics.has(Statistic.INPUT_GRAD_GRAM, Statistic.INPUT_GRAM):
        b, a = statistics[Statistic.INPUT_GRAD_GRAM], statistics[Statistic.INPUT_GRAM]
        return trailing_block_sums(vt @ b @ vt.T, vt @ a @ vt.T) * kronecker_unit(statistics)
    return None


def squared_norm(error: Float[Tensor, "out in"]) -> float:
    """‖E‖²."""
    return float(error.square().sum())
