"""The element-wise weighted error J, for matrices brought to one scale.

    J(P, Q) = Σ_ij F_ij (W − P Q)²_ij,     P [out, k], Q [k, in]

with ``F ← F / mean F + ε``: the mean is one, and no weight counts so little that the unweighted
error runs away. A Fisher that is zero everywhere weighs every entry alike.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """P and Q while they are being solved for."""

    p: Float[Tensor, "out k"]
    q: Float[Tensor, "k in"]

    def to(self, dtype: torch.dtype) -> "Pair":
        return Pair(self.p.to(dtype), self.q.to(dtype))


@dataclass(frozen=True)
class Objective:
    weight: Float[Tensor, "out in"]
    fisher: Float[Tensor, "out in"]
    """Normalized and floored."""

    def __call__(self, pair: Pair) -> float:
        """J."""
        return self.squared_norm(self.weight - pair.p @ pair.q)

    def squared_norm(self, error: Float[Tensor, "out in"]) -> float:
        """Σ F ∘ E²."""
        return float((self.fisher * error * error).sum())

    def gradients(self, pair: Pair) -> Pair:
        """∂J/∂P = −2 (F ∘ E) Qᵀ and ∂J/∂Q = −2 Pᵀ (F ∘ E)."""
        weighted = self.fisher * (pair.p @ pair.q - self.weight)
        return Pair(2 * weighted @ pair.q.T, 2 * pair.p.T @ weighted)

    def to(self, dtype: torch.dtype) -> "Objective":
        return Objective(self.weight.to(dtype), self.fisher.to(dtype))

    @property
    def transposed(self) -> "Objective":
        """Of Wᵀ ≈ Qᵀ Pᵀ."""
        return Objective(self.weight.T, self.fisher.T)


def normalized(fisher: Float[Tensor, "out in"], floor: float) -> Float[Tensor, "out in"]:
    """F / mean F + ε."""
    mean = fisher.mean()
    return fisher / mean + floor if mean > 0 else torch.full_like(fisher, 1 + floor)
