"""One Kronecker product for a matrix that is used in several places.

Where one weight matrix serves several uses, its Fisher information is a sum of their Kronecker
factors, Σ_u P_u ⊗ Q_u, and a weighted factorization needs a single product. The nearest one,

    min ‖Σ_u P_u ⊗ Q_u − P ⊗ Q‖_F,

is the leading singular pair of Σ_u vec(P_u) vec(Q_u)ᵀ (Van Loan & Pitsianis, Approximation with
Kronecker products, 1993). With the Grams of the uses, M_uv = ⟨P_u, P_v⟩ and N_uv = ⟨Q_u, Q_v⟩, it
lies in their spans:

    M N y' = σ² y',   Q = Σ_u y_u Q_u   with y = y',   P = Σ_u (N y)_u P_u / (yᵀ N y).

All M_uv and N_uv of positive semidefinite matrices are non-negative, hence so is the leading y, and
P and Q are positive semidefinite. Diagonal factors may be held as vectors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Kronecker(NamedTuple):
    """P ⊗ Q, each a symmetric matrix or the vector of its diagonal."""

    p: Tensor
    q: Tensor


def nearest_kronecker(terms: Sequence[Kronecker], trace_q: float) -> Kronecker:
    """Of the sum of these products; the split of its size between P and Q gives Q this trace."""
    m, n = inner_products([term.p for term in terms]), inner_products([term.q for term in terms])
    y = leading_eigenvector(m @ n)
    q = torch.stack([weight * term.q for weight, term in zip(y, terms, strict=True)]).sum(0)
    norm = y @ n @ y
    shares = n @ y / torch.where(norm > 0, norm, 1.0)
    p = torch.stack([share * term.p for share, term in zip(shares, terms, strict=True)]).sum(0)
    scale = trace_q / trace(q) if trace(q) > 0 else 1.0
    return Kronecker(p / scale, q * scale)


def inner_products(matrices: Sequence[Tensor]) -> Float[Tensor, "uses uses"]:
    return torch.stack([torch.stack([(a * b).sum() for b in matrices]) for a in matrices])


def leading_eigenvector(product: Float[Tensor, "uses uses"]) -> Float[Tensor, "uses"]:
    """Of a product of two positive semidefinite, non-negative matrices: real and non-negative."""
    values, vectors = torch.linalg.eig(product.cpu())
    leading: Tensor = vectors[:, values.real.argmax()].real.abs()
    return leading.to(product.device)


def trace(matrix: Tensor) -> float:
    return float(matrix.sum() if matrix.dim() == 1 else matrix.trace())
