"""Closed forms of a layer with both sides too large for Grams: only diag A and diag G are held.

With a = √diag A and g = √diag G as diagonal matrices, min ‖g (W − Ŵ) a‖_F is solved by the SVD
g W a = U S Vᵀ as in `fwsvd`:

    outer = W a V_k S_k⁻¹,     inner = U_kᵀ g W,

and the one-sided min ‖(W − Ŵ) a‖_F by W a = U S Vᵀ, Ŵ = U_k U_kᵀ W. Damping adds
ε · mean(diag) to each diagonal. In the two-sided metric (see `loss_unit`) truncations of the
one-sided leave Σ_{i>k} s_i² uᵢᵀ g² uᵢ, and any others that project on nested left subspaces,
W − Ŵ = (I − U_k U_kᵀ) W,

    Σ_{i,j>k} (Uᵀ g² U)_ij (UᵀW a² WᵀU)_ij.
"""

from jaxtyping import Float
from torch import Tensor, linalg

from core.compression.factorization.decomposition import Decomposition, decomposition, nested
from core.compression.factorization.loss_unit import kronecker_unit, trailing_block_sums
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import inverse_of_kept, tail_sums
from core.recipe.statistics import Statistic


def two_sided(
    weight: Float[Tensor, "out in"],
    statistics: LayerStatistics,
    input_damping: float,
    output_damping: float,
) -> Decomposition:
    w = weight.double()
    a = damped_diagonal(statistics[Statistic.INPUT_GRAM], input_damping).sqrt()
    g = damped_diagonal(statistics[Statistic.OUTPUT_GRAD_GRAM], output_damping).sqrt()[:, None]
    u, s, vt = linalg.svd(g * w * a, full_matrices=False)
    outer = (w * a) @ vt.T * inverse_of_kept(s, max(w.shape))
    increase = tail_sums(s.square()) * kronecker_unit(statistics)

    def squared_norm(error: Tensor) -> float:
        return float((g * error * a).square().sum())

    cut = nested(outer, u.T @ (g * w))
    return decomposition(weight, cut, s.square(), increase, squared_norm)


def one_sided(
    weight: Float[Tensor, "out in"],
    squares: Float[Tensor, "in"],
    statistics: LayerStatistics,
    mean_input: Float[Tensor, "in"] | None = None,
) -> Decomposition:
    """Of a² as it is given: damped, or about the mean."""
    w, a = weight.double(), squares.sqrt()
    u, s, _ = linalg.svd(w * a, full_matrices=False)
    increase = None
    if Statistic.OUTPUT_GRAD_GRAM in statistics:
        g = statistics[Statistic.OUTPUT_GRAD_GRAM].double()[:, None]
        costs = s.square() * (u * g * u).sum(0)
        increase = tail_sums(costs) * kronecker_unit(statistics)

    def squared_norm(error: Tensor) -> float:
        return float((error * a).square().sum())

    cut = nested(u, u.T @ w)
    return decomposition(weight, cut, s.square(), increase, squared_norm, mean_input)


def increase_of_projections(
    u: Float[Tensor, "out r"], inner: Float[Tensor, "r in"], statistics: LayerStatistics
) -> Float[Tensor, "r_plus_1"] | None:
    """What projecting on the first columns of U costs, inner = UᵀW; None without both diagonals."""
    if not statistics.has(Statistic.INPUT_GRAM, Statistic.OUTPUT_GRAD_GRAM):
        return None
    g = statistics[Statistic.OUTPUT_GRAD_GRAM].double()[:, None]
    outputs = u.T @ (g * u)
    inputs = (inner * statistics[Statistic.INPUT_GRAM].double()) @ inner.T
    return trailing_block_sums(outputs, inputs) * kronecker_unit(statistics)


def damped_diagonal(diagonal: Float[Tensor, "n"], damping: float) -> Float[Tensor, "n"]:
    """diag + ε · mean(diag)."""
    d = diagonal.double()
    return d + damping * d.mean()
