"""Factors for a layer whose inputs have been shifted by the layers compressed before it.

AA-SVD fits a layer to the dense model's outputs on the inputs it will really get; here also with
the output side weighted, and regularized. With x a token's input in the dense model, x̂ its input
in the compressed one, X and X̂ all of them as columns, G the Gram of output gradients and
D = diag(X̂X̂ᵀ), minimize over Ŵ of rank k

    ‖G^½ (W X − Ŵ X̂)‖² + λ ‖G^½ (W − Ŵ) D^½‖².

Let S = X̂X̂ᵀ + λD and N = XX̂ᵀ + λD. Completing the square in Ŵ leaves, up to what does not depend
on Ŵ,

    ‖G^½ (M − Ŵ) S^½‖²,     M = W N S⁻¹,

whose solution is the truncation [G^½ W N S^-½]_k with both roots undone. With the Cholesky root
S = L Lᵀ let K = N L⁻ᵀ and Y = W K, so that M L = Y; two triangular solves are all that is
inverted, of a matrix that λ keeps away from singular. For out ≤ in, with G = R Rᵀ,

    Rᵀ Y Yᵀ R = U Σ² Uᵀ,     outer = Y Yᵀ R U_k Σ_k⁻²,     inner = U_kᵀ Rᵀ Y L⁻¹,

and for out > in, where B = WᵀGW is held instead of G,

    Kᵀ B K = V Σ² Vᵀ,     outer = Y V_k,     inner = V_kᵀ L⁻¹.

svd_llm has G = I, where the mirrored form has WᵀW for B. Where x̂ = x, N = S and M = W.

M is a regression of the dense outputs on x̂, whose variance grows with in / T for T tokens: hence
λ = damping · in / T. D and not I, since a few features of some models are a thousand times larger
than the others (massive activations, Sun et al., COLM 2024): a ridge in proportion to their energy
would leave nothing of the others' data. A feature that is always 0 keeps its column of W. A bias
becomes b + mean(W x − Ŵ x̂), with which the layer's mean output is the dense one's.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.factorization.decomposition import balance
from core.compression.factorization.grams import (
    column_space,
    damped_input_grad_gram,
    damped_output_grad_gram,
)
from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import eigenpairs, inverse_of_kept, root
from core.compression.low_rank import Factors
from core.compression.shifted_moments import ShiftedMoments
from core.errors import NumericalError
from core.recipe.methods import KfacConfig, Method

HINT = "Raise the damping of the refit, or let it read more rows."


@dataclass(frozen=True)
class Shift:
    """The inputs of both models to each other, in the symbols above."""

    lower: Float[Tensor, "in in"]
    """L."""
    k: Float[Tensor, "in in"]
    """K = N L⁻ᵀ."""

    def undone(self, rows: Float[Tensor, "rows in"]) -> Float[Tensor, "rows in"]:
        """rows · L⁻¹."""
        solved: Tensor = torch.linalg.solve_triangular(self.lower, rows, upper=False, left=False)
        return solved


@dataclass(frozen=True)
class Refitted:
    factors: Factors
    """In the weight's dtype."""
    relative_error: float
    """‖G^½ (M − Ŵ) S^½‖ / ‖G^½ M S^½‖; 0 where that norm sees nothing of M."""


def refit(
    name: str,
    weight: Float[Tensor, "out in"],
    moments: ShiftedMoments,
    damping: float,
    statistics: LayerStatistics | None,
    config: Method,
    rank: int,
) -> Refitted:
    """
    Raises:
        NumericalError: a solve failed; names the layer.
    """
    smaller_out = weight.shape[0] <= weight.shape[1]
    solve = from_output_side if smaller_out else from_input_side
    try:
        shift = shift_of(moments, damping)
        return solve(weight.detach(), shift, statistics, config, rank)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise NumericalError(f"{name}: the refit failed: {error}", hint=HINT) from error


def shift_of(moments: ShiftedMoments, damping: float) -> Shift:
    ridge = torch.diag(ridge_of(moments, damping))
    lower = torch.linalg.cholesky(moments.gram.double() + ridge)
    n = moments.cross.double() + ridge
    k = torch.linalg.solve_triangular(lower.T, n, upper=True, left=False)
    return Shift(lower, k)


def ridge_of(moments: ShiftedMoments, damping: float) -> Float[Tensor, "in"]:
    """The diagonal of λD; features that are always 0 count as a millionth of the mean one."""
    energies = moments.gram.double().diagonal()
    floor = float(energies.mean()) * 1e-6 or 1.0
    return damping * len(energies) / moments.tokens * energies.clamp(min=floor)


def from_output_side(
    weight: Float[Tensor, "out in"],
    shift: Shift,
    statistics: LayerStatistics | None,
    config: Method,
    rank: int,
) -> Refitted:
    w = weight.double()
    g = output_gram(w, statistics, config)
    y = w @ shift.k
    r = root(g)
    pairs = eigenpairs(r.T @ (y @ y.T) @ r)
    u, inverse = pairs.vectors[:, :rank], inverse_of_kept(pairs.values, len(w))[:rank]
    outer, inner = y @ (y.T @ r @ u) * inverse, shift.undone(u.T @ r.T @ y)
    factors = balanced(outer, inner, weight.dtype)
    error = y - factors.product().double() @ shift.lower
    return Refitted(factors, relative(float((g @ error * error).sum()), pairs.values))


def from_input_side(
    weight: Float[Tensor, "out in"],
    shift: Shift,
    statistics: LayerStatistics | None,
    config: Method,
    rank: int,
) -> Refitted:
    w = weight.double()
    b = input_gram(w, statistics, config)
    pairs = eigenpairs(shift.k.T @ b @ shift.k)
    v = pairs.vectors[:, :rank]
    factors = balanced(w @ shift.k @ v, shift.undone(v.T), weight.dtype)
    error = shift.k - column_space(factors.product().double(), w) @ shift.lower
    return Refitted(factors, relative(float((b @ error * error).sum()), pairs.values))


def balanced(
    outer: Float[Tensor, "out rank"], inner: Float[Tensor, "rank in"], dtype: torch.dtype
) -> Factors:
    """Columns of the one and rows of the other have equal norms, as with every method."""
    scale = balance(outer.norm(dim=0), inner.norm(dim=1))
    return Factors(
        (outer * scale).to(dtype).contiguous(), (inner / scale[:, None]).to(dtype).contiguous()
    )


def relative(lost: float, squares: Float[Tensor, "r"]) -> float:
    whole = float(squares.sum())
    return float((max(lost, 0.0) / whole) ** 0.5) if whole > 0 else 0.0


def output_gram(
    w: Float[Tensor, "out in"], statistics: LayerStatistics | None, config: Method
) -> Float[Tensor, "out out"]:
    """G as the method damps it; I where it weights no outputs."""
    if isinstance(config, KfacConfig) and statistics is not None:
        return damped_output_grad_gram(w, statistics, config.output_damping)
    return torch.eye(len(w), dtype=w.dtype, device=w.device)


def input_gram(
    w: Float[Tensor, "out in"], statistics: LayerStatistics | None, config: Method
) -> Float[Tensor, "in in"]:
    """B = WᵀGW likewise."""
    if isinstance(config, KfacConfig) and statistics is not None:
        return damped_input_grad_gram(w, statistics, config.output_damping)
    return w.T @ w


def refitted_bias(
    weight: Float[Tensor, "out in"],
    bias: Float[Tensor, "out"] | None,
    factors: Factors,
    moments: ShiftedMoments,
) -> Float[Tensor, "out"] | None:
    """b + mean(W x − Ŵ x̂); a layer without a bias gets none."""
    if bias is None:
        return None
    dense, shifted = moments.dense_sum / moments.tokens, moments.shifted_sum / moments.tokens
    product = factors.product().double()
    return (bias.double() + weight.double() @ dense - product @ shifted).to(bias.dtype)
