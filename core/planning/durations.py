"""How long a job will take here, from how long others took.

Work is known from shapes, t₀ = 20 s + FLOPs / 40 GFLOP/s: starting a runner, and two ordinary
cores. What a deployment makes of it (its device, its threads, texts shorter than max_length, work
found in a cache) is one factor of each finished job, r = seconds / t₀. The range is t₀ times the
10 % and 90 % quantiles of r.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.planning.resources import CPU_FLOPS

START_S = 20.0
FEWEST = 3
"""Finished jobs below which nothing is said."""


class TimeRange(BaseModel):
    """What eight of ten such jobs should take."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    low_s: float
    high_s: float
    jobs: int
    """Finished ones that it was told from."""


def usual_seconds(flops: int) -> float:
    return START_S + flops / CPU_FLOPS


def time_range(flops: int | None, finished: Sequence[tuple[int, float]]) -> TimeRange | None:
    """From the FLOPs and seconds of finished jobs; None where either is not known."""
    if flops is None or len(finished) < FEWEST:
        return None
    factors = [seconds / usual_seconds(work) for work, seconds in finished]
    low, high = np.quantile(factors, [0.1, 0.9]) * usual_seconds(flops)
    return TimeRange(low_s=round(float(low), 1), high_s=round(float(high), 1), jobs=len(finished))
