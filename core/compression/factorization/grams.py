"""The damped Grams of either side, and errors expressed on the side whose Gram is held.

Damping is relative: A becomes A + ε_A · mean(diag A) · I and G becomes G + ε_G · mean(diag G) · I.
C = W A Wᵀ and B = Wᵀ G W become what they would be if made from the damped.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import damped, gram
from core.recipe.statistics import Statistic


def damped_input_gram(
    w: Float[Tensor, "out in"], statistics: LayerStatistics, damping: float
) -> Float[Tensor, "in in"]:
    """A + ε_A · mean(diag A) · I."""
    amount = damping * statistics.traces[Statistic.INPUT_GRAM] / w.shape[1]
    return damped(statistics[Statistic.INPUT_GRAM].double(), amount)


def damped_output_gram(
    w: Float[Tensor, "out in"], statistics: LayerStatistics, damping: float
) -> Float[Tensor, "out out"]:
    """C + ε_A · mean(diag A) · W Wᵀ."""
    amount = damping * statistics.traces[Statistic.INPUT_GRAM] / w.shape[1]
    return with_gram(statistics[Statistic.OUTPUT_GRAM].double(), amount, w.T)


def damped_output_grad_gram(
    w: Float[Tensor, "out in"], statistics: LayerStatistics, damping: float
) -> Float[Tensor, "out out"]:
    """G + ε_G · mean(diag G) · I."""
    amount = damping * statistics.traces[Statistic.OUTPUT_GRAD_GRAM] / w.shape[0]
    return damped(statistics[Statistic.OUTPUT_GRAD_GRAM].double(), amount)


def damped_input_grad_gram(
    w: Float[Tensor, "out in"], statistics: LayerStatistics, damping: float
) -> Float[Tensor, "in in"]:
    """B + ε_G · mean(diag G) · Wᵀ W."""
    amount = damping * statistics.traces[Statistic.OUTPUT_GRAD_GRAM] / w.shape[0]
    return with_gram(statistics[Statistic.INPUT_GRAD_GRAM].double(), amount, w)


def with_gram(
    sums: Float[Tensor, "n n"], amount: float, rows: Float[Tensor, "m n"]
) -> Float[Tensor, "n n"]:
    """``sums + amount · rowsᵀ rows``."""
    return sums + amount * gram(rows) if amount > 0 else sums


def row_space(
    error: Float[Tensor, "out in"], weight: Float[Tensor, "out in"]
) -> Float[Tensor, "out out"]:
    """D with E = D W, where every row of E is a combination of rows of W: then E A Eᵀ = D C Dᵀ.

    The errors of all closed forms for out ≤ in are such; what is not (rounding) is left out.
    D = E Wᵀ (W Wᵀ)⁻¹ is good to cond(W)² · 1e-16 of itself, which is plenty for a number that is
    only shown, at a quarter of a pseudoinverse's cost. The shift makes rank-deficient weights pass.
    """
    rows = gram(weight.T)
    trace = float(rows.trace()) or 1.0
    lower = torch.linalg.cholesky(damped(rows, len(rows) * torch.finfo(rows.dtype).eps * trace))
    return torch.cholesky_solve(weight @ error.T, lower).T


def column_space(
    error: Float[Tensor, "out in"], weight: Float[Tensor, "out in"]
) -> Float[Tensor, "in in"]:
    """D with E = W D, where every column of E is a combination of columns of W."""
    return row_space(error.T, weight.T).T
