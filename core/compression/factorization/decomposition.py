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

Cut: TypeAlias = Callable[[int], Factors]
"""The best float64 factors of a rank."""
SquaredNorm: TypeAlias = Callable[[Tensor], float]
"""Of an error [out, in], float64."""


@dataclass(frozen=True)
class Decomposition:
    """The spectrum is there at once; factors are made when a rank is asked for."""

    weight: Float[Tensor, "out in"]
    cut: Cut
    spectrum: Spectrum
    squared_norm: SquaredNorm
    """What the method minimizes."""
    mean_input: Float[Tensor, "in"] | None = None
    """x̄ of a method that minimizes the error about its mean, for the bias to make up for that."""

    @property
    def full_rank(self) -> int:
        return min(self.weight.shape)

    def truncate(self, rank: int) -> Factors:
        """The best factors of this rank, 1..full_rank, in the weight's dtype.

        Each column of the outer factor and its row of the inner are scaled to equal norms: the
        product stays, and neither a narrow dtype nor an optimizer meets factors of far-off scales.
        """
        if not 1 <= rank <= self.full_rank:
            raise ValueError(f"rank {rank} is not in 1..{self.full_rank}")
        factors, dtype = self.cut(rank), self.weight.dtype
        scale = balance(factors.outer.norm(dim=0), factors.inner.norm(dim=1))
        return Factors(
            (factors.outer * scale).to(dtype).contiguous(),
            (factors.inner / scale[:, None]).to(dtype).contiguous(),
        )

    def bias(
        self, factors: Factors, bias: Float[Tensor, "out"] | None
    ) -> Float[Tensor, "out"] | None:
        """The layer's bias beside these factors: ``b + (W − Ŵ) x̄`` where x̄ is known."""
        if bias is None or self.mean_input is None:
            return bias
        lost = self._error(factors) @ self.mean_input
        return (bias.detach().double() + lost).to(bias.dtype)

    def relative_error(self, factors: Factors) -> float:
        """‖W − Ŵ‖ / ‖W‖ in the norm that the method minimizes, measured on the factors as they
        are; 0 where that norm sees nothing of W.

        svd_llm, bolaco and kfac hold one side's Grams only and do not see what part of the error
        lies outside W's row space (out ≤ in) or column space; closed forms leave rounding there.
        """
        whole = float(self.spectrum.squared_singular_values.sum())
        lost = self.squared_norm(self._error(factors)) if whole > 0 else 0.0
        return float((max(lost, 0.0) / whole) ** 0.5) if whole > 0 else 0.0

    def _error(self, factors: Factors) -> Float[Tensor, "out in"]:
        return self.weight.double() - factors.outer.double() @ factors.inner.double()


def decomposition(
    weight: Float[Tensor, "out in"],
    cut: Cut,
    squared_singular_values: Float[Tensor, "r"],
    predicted_increase: Float[Tensor, "r_plus_1"] | None,
    squared_norm: SquaredNorm,
    mean_input: Float[Tensor, "in"] | None = None,
) -> Decomposition:
    spectrum = Spectrum(
        as_array(squared_singular_values),
        None if predicted_increase is None else as_array(predicted_increase),
    )
    return Decomposition(weight, cut, spectrum, squared_norm, mean_input)


def nested(outer: Float[Tensor, "out r"], inner: Float[Tensor, "r in"]) -> Cut:
    """Factors of rank k are the first k columns and rows of these."""
    return lambda rank: Factors(outer[:, :rank], inner[:rank])


def balance(columns: Float[Tensor, "r"], rows: Float[Tensor, "r"]) -> Float[Tensor, "r"]:
    """What multiplies each column, and divides its row, to make their norms equal."""
    both = (columns > 0) & (rows > 0)
    return torch.where(both, (rows / columns.where(both, rows.new_ones(()))).sqrt(), 1.0)


def as_array(values: Float[Tensor, "n"]) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.cpu().numpy()
    return array
