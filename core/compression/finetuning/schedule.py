"""Linear warm-up, then linear decay to zero: a closed form, so there is no state to checkpoint."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from core.recipe.training import TrainingConfig


@dataclass(frozen=True)
class Schedule:
    steps: int
    warmup: int
    peak: float

    @classmethod
    def of(cls, config: TrainingConfig, examples: int) -> "Schedule":
        steps = config.epochs * ceil(examples / config.batch_size)
        return cls(steps, int(steps * config.warmup_ratio), config.learning_rate)

    def learning_rate(self, step: int) -> float:
        """η of step 0 … steps − 1: it climbs to `peak` and would reach zero at `steps`."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return self.peak * (self.steps - step) / (self.steps - self.warmup)


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's dropout: a resumed run needs no random state but these two numbers."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
