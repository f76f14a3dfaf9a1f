"""Balanced factors: the same product, its singular values shared equally between both sides.

    outer = Q_o R_o,  innerᵀ = Q_i R_i,  R_o R_iᵀ = U Σ Vᵀ
    outer ← Q_o U Σ^½,  inner ← Σ^½ Vᵀ Q_iᵀ

so that outerᵀ outer = inner innerᵀ = Σ. Of all factors of one matrix these have the least
‖outer‖² + ‖inner‖² (Srebro, Rennie & Jaakkola, Maximum-margin matrix factorization, NIPS 2004),
and an optimizer that moves every entry about as far moves both sides about as much.
"""

import torch
from torch import nn

from core.compression.low_rank import Factors
from core.compression.models.factorized import factorized_layers


def balanced(factors: Factors) -> Factors:
    """In float64."""
    q_outer, r_outer = torch.linalg.qr(factors.outer.double())
    q_inner, r_inner = torch.linalg.qr(factors.inner.double().T)
    u, sigma, v_t = torch.linalg.svd(r_outer @ r_inner.T, full_matrices=False)
    root = sigma.sqrt()
    return _of_rank(factors.rank, q_outer @ u * root, root[:, None] * (v_t @ q_inner.T))


def _of_rank(rank: int, outer: torch.Tensor, inner: torch.Tensor) -> Factors:
    """With the empty units that a rank above min(out, in) has."""
    missing = rank - outer.shape[1]
    pad = nn.functional.pad
    return Factors(pad(outer, (0, missing)), pad(inner, (0, 0, 0, missing)))


@torch.no_grad()
def balance_factors(model: nn.Module) -> None:
    """Every low-rank layer's, in place; heads that are tied to an embedding share its factors."""
    seen: set[nn.Parameter] = set()
    for layer in factorized_layers(model).values():
        if layer.outer not in seen:
            found = balanced(Factors(layer.outer, layer.inner))
            layer.outer.copy_(found.outer)
            layer.inner.copy_(found.inner)
            seen.add(layer.outer)
