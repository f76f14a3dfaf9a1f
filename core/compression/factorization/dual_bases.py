"""The best subspace in one side's weighted coordinates, and the way back without an inverse.

With the Gram of one side S = M Mᵀ and the root L of the other's (for out ≤ in, S = C = W A Wᵀ and
L Lᵀ = G; for out > in, S = B = Wᵀ G W and L Lᵀ = A), and the singular values of their product,

    Lᵀ M = U Σ Vᵀ,     Lᵀ S L = U Σ² Uᵀ,

the best rank k is the oblique projection on k directions along their duals:

    directions  P_k = L U_k,
    duals       D_k = S L U_k Σ_k⁻² = M V_k Σ_k⁻¹   (= L⁻ᵀ U_k where L has an inverse).

U is found as the eigenvectors of Lᵀ S L, at half the cost of singular vectors. Float64 holds 16
digits of Σ², thus 8 of Σ: what lies below is lost to the largest. Where Σ² spans more than
`SQUARES_HOLD`, both roots are taken and the singular vectors of their product, which hold 16 digits
of Σ itself. What the truncation leaves decides: rounding of Σ² turns U such that the squared error
exceeds the optimum's by about eps² of (Σ_i Σ_i² / Σ_{i>k} Σ_i²)². So the ranks whose truncation
leaves more than `SQUARES_HOLD` of all are cut from Σ² even where Σ² spans more, and the product is
decomposed only once a rank asks for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.linalg import (
    congruence,
    inverse_of_kept,
    lower_eigenpairs,
    lower_times,
    root,
    tail_sums,
)

SQUARES_HOLD = 1e-10
"""Smallest by largest Σ², or left by all of Σ², at which projections from Σ² are as good as from Σ:
the error's excess is about (1e-16 / SQUARES_HOLD)²."""


@dataclass(frozen=True)
class DualBases:
    squares: Float[Tensor, "r"]
    """Σ², descending."""
    directions: Callable[[int], Float[Tensor, "n k"]]
    """P_k."""
    duals: Callable[[int], Float[Tensor, "n k"]]
    """D_k; zero where Σ is rounding."""


def dual_bases(
    lower: Float[Tensor, "n p"],
    gram: Float[Tensor, "n n"],
    gram_root: Callable[[], Float[Tensor, "n q"]] | None = None,
) -> DualBases:
    """Of L and S; M is taken of S unless something better is at hand."""
    squared = from_squares(lower, gram)
    if squared.squares[-1] >= SQUARES_HOLD * squared.squares[0]:
        return squared
    left = tail_sums(squared.squares)

    @cache
    def product() -> DualBases:
        return from_product(lower, root(gram) if gram_root is None else gram_root())

    def of(rank: int) -> DualBases:
        return squared if left[rank] > SQUARES_HOLD * left[0] else product()

    return DualBases(
        squared.squares,
        lambda rank: of(rank).directions(rank),
        lambda rank: of(rank).duals(rank),
    )


def from_squares(lower: Float[Tensor, "n p"], gram: Float[Tensor, "n n"]) -> DualBases:
    squares, weighted = congruence(lower, gram)
    pairs = lower_eigenpairs(squares)
    scale = inverse_of_kept(pairs.values, len(lower))
    return DualBases(
        pairs.values,
        lambda rank: lower_times(lower, pairs.vectors[:, :rank]),
        lambda rank: weighted @ pairs.vectors[:, :rank] * scale[:rank],
    )


def from_product(lower: Float[Tensor, "n p"], gram_root: Float[Tensor, "n q"]) -> DualBases:
    u, s, vt = torch.linalg.svd(lower.T @ gram_root, full_matrices=False)
    scale = inverse_of_kept(s, len(lower))
    return DualBases(
        s.square(),
        lambda rank: lower @ u[:, :rank],
        lambda rank: gram_root @ vt[:rank].T * scale[:rank],
    )
