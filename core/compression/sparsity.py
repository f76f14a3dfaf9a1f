"""What a sparse matrix is like: how many weights are left, in which rows and columns, of what rank.

Ren & Zhu 2023 observe that first-order pruning, and no other kind, leaves weights of low rank. The
*numerical rank* counts the singular values above 1e-3 of the largest, the *exact rank* those above
rounding, max(out, in) · eps in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.linalg import gram

NEGLIGIBLE = 1e-3
"""Of the largest singular value."""


@dataclass(frozen=True)
class MatrixFacts:
    full_rank: int
    """min(out, in)."""
    numerical_rank: int
    exact_rank: int
    sparsity: float
    """The share of weights that are zero."""
    empty_rows: int
    empty_columns: int


def facts_of(weight: Float[Tensor, "out in"]) -> MatrixFacts:
    dense = without_empty(weight).double()
    return MatrixFacts(
        full_rank=min(weight.shape),
        numerical_rank=numerical_rank(weight),
        exact_rank=int(torch.linalg.matrix_rank(dense)) if dense.numel() else 0,
        sparsity=sparsity(weight),
        empty_rows=weight.shape[0] - dense.shape[0],
        empty_columns=weight.shape[1] - dense.shape[1],
    )


def sparsity(weight: Float[Tensor, "out in"]) -> float:
    return 1 - int(weight.count_nonzero()) / weight.numel()


def numerical_rank(weight: Float[Tensor, "out in"]) -> int:
    """From the eigenvalues of the smaller Gram: their roots resolve far below 1e-3 in float64."""
    dense = without_empty(weight).double()
    if not dense.numel():
        return 0
    squares = torch.linalg.eigvalsh(gram(dense if dense.shape[1] <= dense.shape[0] else dense.T))
    return int((squares > NEGLIGIBLE**2 * squares[-1]).sum())


def without_empty(weight: Float[Tensor, "out in"]) -> Float[Tensor, "rows columns"]:
    """Without the rows and columns of zeros alone: of the same singular values but zeros."""
    left = weight != 0
    return weight[left.any(1)][:, left.any(0)]
