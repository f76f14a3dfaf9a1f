"""What a method computes once per layer, from which every rank is cut."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from core.compression.low_rank import Factors
from core.planning.plan import Spectrum

SquaredNorm: TypeAlias = Callable[[Tensor], float]
"""Of an error [out, in], float64."""


@dataclass(frozen=True)
class Decomposition:
    """Nested factors: those of rank k are the first k columns and rows of the full ones."""

    weight: Float[Tensor, "out in"]
    outer: Float[Tensor, "out r"]
    inner: Float[Tensor, "r in"]
    """Both float64; the truncated factors have the weight's dtype."""
    spectrum: Spectrum
    squared_norm: SquaredNorm
    """What the method minimizes."""

    @property
    def full_rank(self) -> int:
        return len(self.inner)

    def truncate(self, rank: int) -> Factors:
        """The best factors of this rank, 1..full_rank."""
        self.check_rank(rank)
        return Factors(
            self.outer[:, :rank].to(self.weight.dtype).contiguous(),
            self.inner[:rank].to(self.weight.dtype).contiguous(),
        )

    def check_rank(self, rank: int) -> None:
        if not 1 <= rank <= self.full_rank:
            raise ValueError(f"rank {rank} is not in 1..{self.full_rank}")

    def relative_error(self, factors: Factors) -> float:
        """‖W − Ŵ‖ / ‖W‖ in the norm that the method minimizes, measured on the factors as they
        are; 0 where that norm sees nothing of W.

        svd_llm and kfac hold one side's Grams only and do not see what part of the error lies
        outside W's row space (out ≤ in) or column space; closed forms leave rounding there.
        """
        w = self.weight.double()
        whole = self.squared_norm(w)
        lost = self.squared_norm(w - factors.outer.double() @ factors.inner.double())
        return float((max(lost, 0.0) / whole) ** 0.5) if whole > 0 else 0.0


def decomposition(
    weight: Float[Tensor, "out in"],
    outer: Float[Tensor, "out r"],
    inner: Float[Tensor, "r in"],
    squared_singular_values: Float[Tensor, "r"],
    predicted_increase: Float[Tensor, "r_plus_1"] | None,
    squared_norm: SquaredNorm,
) -> Decomposition:
    """Each column of `outer` and its row of `inner` are scaled to equal norms: the product stays,
    and neither a narrow dtype nor an optimizer meets factors of far-off scales."""
    scale = balance(outer.norm(dim=0), inner.norm(dim=1))
    spectrum = Spectrum(
        as_array(squared_singular_values),
        None if predicted_increase is None else as_array(predicted_increase),
    )
    return Decomposition(weight, outer * scale, inner / scale[:, None], spectrum, squared_norm)


def balance(columns: Float[Tensor, "r"], rows: Float[Tensor, "r"]) -> Float[Tensor, "r"]:
    """What multiplies each column, and divides its row, to make their norms equal."""
    both = (columns > 0) & (rows > 0)
    return torch.where(both, (rows / columns.where(both, rows.new_ones(()))).sqrt(), 1.0)


def as_array(values: Float[Tensor, "n"]) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.cpu().numpy()
    return array
