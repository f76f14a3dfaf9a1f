"""Data-aware SVD: the best rank-k approximation of a layer's outputs on calibration data.

Wang et al., SVD-LLM, ICLR 2025; Chen et al., DRONE, NeurIPS 2021. With A = Σ x xᵀ,

    Σ_tokens ‖(W − Ŵ) x‖² = ‖(W − Ŵ) A^½‖_F²

is least for the projection ``Ŵ = U_k U_kᵀ W`` on the leading left singular vectors U of W A^½,
which are the eigenvectors of C = W A Wᵀ. Only the smaller side's Gram is held: C for out ≤ in, A
for out > in, there with the Cholesky root A = L Lᵀ and the eigenvectors V of Lᵀ (WᵀW) L = V Σ² Vᵀ:

    U_k U_kᵀ W = (W L V_k)(Σ_k⁻² V_kᵀ Lᵀ WᵀW)   since   U = W L V Σ⁻¹.

Damping replaces A by A + ε_A · mean(diag A) · I, hence C by C + ε_A · mean(diag A) · W Wᵀ; the
trace of A is kept beside C for this.

The truncation has no loss unit of its own. In the two-sided metric (see `loss_unit`) the residual
(I − U_k U_kᵀ) W costs Σ_{i>k} λ_i (Uᵀ G U)_ii, and for out > in, where the residual times L is
W L (I − V_k V_kᵀ), Σ_{i>k} (Vᵀ Lᵀ B L V)_ii.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, decomposition
from core.compression.factorization.diagonals import damped_diagonal, one_sided
from core.compression.factorization.dual_bases import dual_bases
from core.compression.factorization.grams import damped_input_gram, damped_output_gram, row_space
from core.compression.factorization.loss_unit import kronecker_unit
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import eigenpairs, gram, root, tail_sums
from core.compression.low_rank import Factors
from core.recipe.methods import SvdLlmConfig
from core.recipe.statistics import Statistic


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: SvdLlmConfig
) -> Decomposition:
    w = weight.double()
    if statistics.diagonal:
        a = damped_diagonal(statistics[Statistic.INPUT_GRAM], config.input_damping)
        return one_sided(weight, a, statistics)
    if weight.shape[0] <= weight.shape[1]:
        c = damped_output_gram(w, statistics, config.input_damping)
        return from_output_gram(weight, c, statistics)
    a = damped_input_gram(w, statistics, config.input_damping)
    return from_input_gram(weight, a, statistics)


def from_output_gram(
    weight: Float[Tensor, "out in"],
    c: Float[Tensor, "out out"],
    statistics: LayerStatistics,
    mean_input: Float[Tensor, "in"] | None = None,
) -> Decomposition:
    w, pairs = weight.double(), eigenpairs(c)
    costs = rank_costs(lambda: pairs.vectors, statistics, Statistic.OUTPUT_GRAD_GRAM)
    increase = None if costs is None else tail_sums(pairs.values * costs)

    def cut(rank: int) -> Factors:
        u = pairs.vectors[:, :rank]
        return Factors(u, u.T @ w)

    def squared_norm(error: Tensor) -> float:
        d = row_space(error, w)
        return float((d @ c * d).sum())

    return decomposition(weight, cut, pairs.values, increase, squared_norm, mean_input)


def from_input_gram(
    weight: Float[Tensor, "out in"],
    a: Float[Tensor, "in in"],
    statistics: LayerStatistics,
    mean_input: Float[Tensor, "in"] | None = None,
) -> Decomposition:
    w = weight.double()
    bases = dual_bases(root(a), gram(w), lambda: w.T)
    costs = rank_costs(lambda: bases.directions(w.shape[1]), statistics, Statistic.INPUT_GRAD_GRAM)
    increase = None if costs is None else tail_sums(costs)

    def cut(rank: int) -> Factors:
        return Factors(w @ bases.directions(rank), bases.duals(rank).T)

    def squared_norm(error: Tensor) -> float:
        return float((error @ a * error).sum())

    return decomposition(weight, cut, bases.squares, increase, squared_norm, mean_input)


def rank_costs(
    directions: Callable[[], Float[Tensor, "n r"]],
    statistics: LayerStatistics,
    gradient_gram: Statistic,
) -> Float[Tensor, "r"] | None:
    """dᵢᵀ G dᵢ / (2 N T) of every direction (B for G on the input side), None without the Gram."""
    if gradient_gram not in statistics:
        return None
    d = directions()
    return (d * (statistics[gradient_gram].double() @ d)).sum(0) * kronecker_unit(statistics)
