"""Data-aware SVD: the best rank-k approximation of a layer's outputs on calibration data.

Wang et al., SVD-LLM, ICLR 2025; Chen et al., DRONE, NeurIPS 2021. With A = Σ x xᵀ,

    Σ_tokens ‖(W − Ŵ) x‖² = ‖(W − Ŵ) A^½‖_F²

is least for the projection ``Ŵ = U_k U_kᵀ W`` on the leading left singular vectors U of W A^½,
which are the eigenvectors of C = W A Wᵀ. Only the smaller side's Gram is held: C for out ≤ in, A
for out > in, there with the Cholesky root A = L Lᵀ and W L = U Σ Vᵀ. Damping replaces A by
A + ε_A · mean(diag A) · I, hence C by C + ε_A · mean(diag A) · W Wᵀ; the trace of A is kept beside
C for this.

The truncation has no loss unit of its own. In the two-sided metric (see `loss_unit`) the residual
(I − U_k U_kᵀ) W costs Σ_{i>k} λ_i (Uᵀ G U)_ii, and for out > in, where the residual times L is
W L (I − V_k V_kᵀ), Σ_{i>k} (Vᵀ Lᵀ B L V)_ii.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, decomposition
from core.compression.factorization.diagonals import one_sided
from core.compression.factorization.grams import damped_input_gram, damped_output_gram, row_space
from core.compression.factorization.loss_unit import kronecker_unit
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import eigenpairs, root, tail_sums
from core.recipe.methods import SvdLlmConfig
from core.recipe.statistics import Statistic


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: SvdLlmConfig
) -> Decomposition:
    if statistics.diagonal:
        return one_sided(weight, statistics, config.input_damping)
    smaller_out = weight.shape[0] <= weight.shape[1]
    return (from_output_gram if smaller_out else from_input_gram)(weight, statistics, config)


def from_output_gram(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: SvdLlmConfig
) -> Decomposition:
    w = weight.double()
    c = damped_output_gram(w, statistics, config.input_damping)
    pairs = eigenpairs(c)
    costs = rank_costs(pairs.vectors, statistics, Statistic.OUTPUT_GRAD_GRAM)
    increase = None if costs is None else tail_sums(pairs.values * costs)

    def squared_norm(error: Tensor) -> float:
        d = row_space(error, w)
        return float((d @ c * d).sum())

    u = pairs.vectors
    return decomposition(weight, u, u.T @ w, pairs.values, increase, squared_norm)


def from_input_gram(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: SvdLlmConfig
) -> Decomposition:
    w = weight.double()
    a = damped_input_gram(w, statistics, config.input_damping)
    lower = root(a)
    u, s, vt = torch.linalg.svd(w @ lower, full_matrices=False)
    costs = rank_costs(lower @ vt.T, statistics, Statistic.INPUT_GRAD_GRAM)
    increase = None if costs is None else tail_sums(costs)

    def squared_norm(error: Tensor) -> float:
        return float((error @ a * error).sum())

    return decomposition(weight, u, u.T @ w, s.square(), increase, squared_norm)


def rank_costs(
    directions: Float[Tensor, "n r"], statistics: LayerStatistics, gradient_gram: Statistic
) -> Float[Tensor, "r"] | None:
    """dᵢᵀ G dᵢ / (2 N T) of every direction (B for G on the input side), None without the Gram."""
    if gradient_gram not in statistics:
        return None
    gram = statistics[gradient_gram].double()
    return (directions * (gram @ directions)).sum(0) * kronecker_unit(statistics)
