"""Learning rates in closed form, so that there is no state to checkpoint.

After a linear warm-up of w steps, with p = (step − w) / (steps − w) of the rest gone:

    linear    η = peak · (1 − p)
    cosine    η = peak · (1 + cos πp) / 2      (Loshchilov & Hutter, SGDR, ICLR 2017, one cycle)
    constant  η = peak
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, cos, pi

import numpy as np

from core.recipe.training import ScheduleName, TrainingConfig

DECAYS: Mapping[ScheduleName, Callable[[float], float]] = {
    "linear": lambda gone: 1 - gone,
    "cosine": lambda gone: (1 + cos(pi * gone)) / 2,
    "constant": lambda gone: 1.0,
}


@dataclass(frozen=True)
class Schedule:
    steps: int
    warmup: int
    peak: float
    name: ScheduleName = "linear"

    @classmethod
    def of(cls, config: TrainingConfig, examples: int) -> "Schedule":
        steps = config.epochs * steps_per_epoch(config, examples)
        return cls(steps, int(steps * config.warmup_ratio), config.learning_rate, config.schedule)

    def learning_rate(self, step: int) -> float:
        """η of step 0 … steps − 1: it climbs to `peak`, then goes as the schedule's name says."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return self.peak * DECAYS[self.name]((step - self.warmup) / (self.steps - self.warmup))


def steps_per_epoch(config: TrainingConfig, examples: int) -> int:
    return ceil(examples / config.batch_size)


def step_seed(seed: int, step: int, stream: int = 0) -> int:
    """The seed of what one step draws: a resumed run needs no random state but these numbers.

    Stream 0 is the forward pass's (dropout), others are the hooks'.
    """
    key = [seed, step] if stream == 0 else [seed, step, stream]
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
