"""Activation-aware singular value decomposition (ASVD).

Yuan, Shang, Song, Wu, Yan & Sun, ASVD: Activation-aware singular value decomposition for
compressing large language models, 2023. Input features are weighted by the mean size of their
activations to a power, ``D = diag (mean |x|)^α``, and ``W D = U S Vᵀ`` is truncated, the paper's
factors being ``U_k S_k`` and ``V_kᵀ D⁻¹``: that minimizes

    ‖(W − Ŵ) D‖_F

and is the projection ``Ŵ = U_k U_kᵀ W`` wherever D is invertible. Nothing is inverted here, so an
input that never is anything but 0 does no harm.

The truncation has no loss unit of its own; in the two-sided metric it is measured as `loss_unit`
says of projections on nested left subspaces.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, decomposition, nested
from core.compression.factorization.diagonals import increase_of_projections
from core.compression.factorization.loss_unit import kronecker_unit, trailing_block_sums
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import inverse_of_kept
from core.recipe.methods import AsvdConfig
from core.recipe.statistics import Statistic


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: AsvdConfig
) -> Decomposition:
    w = weight.double()
    d = input_weights(statistics, config.alpha)
    u, s, vt = torch.linalg.svd(w * d, full_matrices=False)
    inner = u.T @ w
    duals = d[:, None] * vt.T * inverse_of_kept(s, max(w.shape))
    increase = predicted_increase(u, inner, duals, statistics)

    def squared_norm(error: Tensor) -> float:
        return float((error * d).square().sum())

    return decomposition(weight, nested(u, inner), s.square(), increase, squared_norm)


def input_weights(statistics: LayerStatistics, alpha: float) -> Float[Tensor, "in"]:
    """The diagonal of D."""
    mean: Tensor = statistics[Statistic.INPUT_ABS_SUM].double() / statistics.tokens
    return mean**alpha


def predicted_increase(
    u: Float[Tensor, "out r"],
    inner: Float[Tensor, "r in"],
    duals: Float[Tensor, "in r"],
    statistics: LayerStatistics,
) -> Float[Tensor, "r_plus_1"] | None:
    """In the two-sided metric; None without its Grams. `duals` is D V Σ⁻¹: W duals = U."""
    if statistics.diagonal:
        return increase_of_projections(u, inner, statistics)
    smaller_out = len(u) <= inner.shape[1]
    if smaller_out and statistics.has(Statistic.OUTPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM):
        c = u.T @ statistics[Statistic.OUTPUT_GRAM].double() @ u
        g = u.T @ statistics[Statistic.OUTPUT_GRAD_GRAM].double() @ u
    elif not smaller_out and statistics.has(Statistic.INPUT_GRAM, Statistic.INPUT_GRAD_GRAM):
        c = inner @ statistics[Statistic.INPUT_GRAM].double() @ inner.T
        g = duals.T @ statistics[Statistic.INPUT_GRAD_GRAM].double() @ duals
    else:
        return None
    return trailing_block_sums(c, g) * kronecker_unit(statistics)
