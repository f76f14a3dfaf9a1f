"""A linear axis: from values to positions, with round ticks."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LinearScale:
    """Maps [low, high] onto positions [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> tuple[float, ...]:
        """Round values inside the axis: multiples of 1, 2 or 5 times a power of ten."""
        step = round_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(i * step for i in range(first, last + 1))


def round_step(rough: float) -> float:
    magnitude: float = 10.0 ** math.floor(math.log10(rough))
    return next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * (1 - 1e-9))


def scale_around(values: list[float], start: float, end: float) -> LinearScale:
    """An axis with a margin of a tenth on both sides of the values; never of no width."""
    low, high = min(values), max(values)
    margin = (high - low) / 10 or max(abs(high), 1e-3) / 10
    return LinearScale(low - margin, high + margin, start, end)
