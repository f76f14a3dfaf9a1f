"""Two-sided weighting by the Kronecker-factored Fisher information.

Kronecker factors: Martens & Grosse, ICML 2015; their use for low-rank compression: GFWSVD (2025)
and OBD-LLM (2026). With A = Σ x xᵀ and G = Σ δ δᵀ over the tokens, minimize

    ‖G^½ (W − Ŵ) A^½‖_F,

the loss's second-order increase up to the factor 1 / (2 N T) (see `loss_unit`). Only the smaller
side's Grams are held. For out ≤ in, C = W A Wᵀ, and with the Cholesky root G = L Lᵀ

    Lᵀ C L = U Σ² Uᵀ,     outer = C L U_k Σ_k⁻²,     inner = U_kᵀ Lᵀ W,

since C L U Σ⁻² = L⁻ᵀ U: nothing is inverted but kept singular values. For out > in the mirror
image, with B = Wᵀ G W and A = L Lᵀ:

    Lᵀ B L = V Σ² Vᵀ,     outer = W L V_k,     inner = Σ_k⁻² V_kᵀ Lᵀ B.

Both are one pair of `dual_bases`.

Damping adds ε · mean(diag) · I to A and to G before the roots; where A or G is not held, it acts
through C + ε_A · mean(diag A) · W Wᵀ and B + ε_G · mean(diag G) · Wᵀ W. Directions that carry no
weighted energy above rounding get zero factors: they cost nothing.
"""

from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition, decomposition
from core.compression.factorization.diagonals import two_sided
from core.compression.factorization.dual_bases import dual_bases
from core.compression.factorization.grams import (
    column_space,
    damped_input_grad_gram,
    damped_input_gram,
    damped_output_grad_gram,
    damped_output_gram,
    row_space,
)
from core.compression.factorization.loss_unit import kronecker_unit
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import root, tail_sums
from core.compression.low_rank import Factors
from core.recipe.methods import KfacConfig


def decompose(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: KfacConfig
) -> Decomposition:
    if statistics.diagonal:
        return two_sided(weight, statistics, config.input_damping, config.output_damping)
    smaller_out = weight.shape[0] <= weight.shape[1]
    return (from_output_grams if smaller_out else from_input_grams)(weight, statistics, config)


def from_output_grams(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: KfacConfig
) -> Decomposition:
    w = weight.double()
    c = damped_output_gram(w, statistics, config.input_damping)
    g = damped_output_grad_gram(w, statistics, config.output_damping)
    bases = dual_bases(root(g), c)
    increase = tail_sums(bases.squares) * kronecker_unit(statistics)

    def cut(rank: int) -> Factors:
        return Factors(bases.duals(rank), bases.directions(rank).T @ w)

    def squared_norm(error: Tensor) -> float:
        d = row_space(error, w)
        return float((d @ c @ d.T * g).sum())

    return decomposition(weight, cut, bases.squares, increase, squared_norm)


def from_input_grams(
    weight: Float[Tensor, "out in"], statistics: LayerStatistics, config: KfacConfig
) -> Decomposition:
    w = weight.double()
    b = damped_input_grad_gram(w, statistics, config.output_damping)
    a = damped_input_gram(w, statistics, config.input_damping)
    bases = dual_bases(root(a), b)
    increase = tail_sums(bases.squares) * kronecker_unit(statistics)

    def cut(rank: int) -> Factors:
        return Factors(w @ bases.directions(rank), bases.duals(rank).T)

    def squared_norm(error: Tensor) -> float:
        d = column_space(error, w)
        return float((d.T @ b @ d * a).sum())

    return decomposition(weight, cut, bases.squares, increase, squared_norm)
