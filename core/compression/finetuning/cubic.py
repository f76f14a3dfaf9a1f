"""The cubic schedule of Zhu & Gupta, To prune, or not to prune, 2017.

    share_t = share_T + (1 − share_T) (1 − p)³,   p = (t − t_i) / (t_f − t_i) within [0, 1]

so that all is kept until t_i = initial_warmup · T, and share_T from t_f = (1 − final_warmup) · T
on.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CubicSchedule:
    initial_warmup: float
    final_warmup: float

    def excess(self, step: int, steps: int) -> float:
        """(1 − p)³ after so many steps: 1 where all is kept, 0 where the end is reached."""
        first, last = self.initial_warmup * steps, (1 - self.final_warmup) * steps
        if step >= last:
            return 0.0
        return (1 - max(0.0, step - first) / (last - first)) ** 3

    def kept(self, before: int, after: int, step: int, steps: int) -> int:
        """Of `before` things at the start and exactly `after` at the end."""
        return after + round((before - after) * self.excess(step, steps))
