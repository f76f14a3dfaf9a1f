"""Second moments of a layer's inputs in two models at once: x in the dense one, x̂ in another.

Both see the same tokens; in the other model the layers before have been compressed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from core.compression.linalg import accumulation_dtype, gram


@dataclass
class ShiftedMoments:
    """Sums over tokens, padding not counted."""

    cross: Float[Tensor, "in in"]
    """Σ x x̂ᵀ."""
    gram: Float[Tensor, "in in"]
    """Σ x̂ x̂ᵀ."""
    dense_sum: Float[Tensor, "in"]
    """Σ x."""
    shifted_sum: Float[Tensor, "in"]
    """Σ x̂."""
    tokens: int = 0

    @classmethod
    def zeros(cls, features: int, device: torch.device) -> "ShiftedMoments":
        square, line = (
            torch.zeros(shape, dtype=accumulation_dtype(device), device=device)
            for shape in ((features, features), (features,))
        )
        return cls(square, square.clone(), line, line.clone())

    def see(self, dense: Float[Tensor, "tokens in"], shifted: Float[Tensor, "tokens in"]) -> None:
        self.cross += dense.T @ shifted
        self.gram += gram(shifted)
        self.dense_sum += dense.sum(0)
        self.shifted_sum += shifted.sum(0)
        self.tokens += len(dense)
