"""Alternating training: the outer factors learn while the inner ones rest, and the other way round.

With one factor held, a layer is linear in the other one, as in alternating least squares; here each
turn takes `turn_steps` steps of the optimizer instead of solving. A resting factor needs no
gradient, does not decay, and keeps its moments until its next turn.
"""

from collections.abc import Iterator

from torch import nn

from core.compression.finetuning.protocol import Hook, Training
from core.compression.models.factorized import factorized_layers


class Alternation(Hook):
    def __init__(self, turn_steps: int):
        self.turn_steps = turn_steps

    def before_batch(self, training: Training) -> None:
        for factor in self._resting(training):
            factor.requires_grad_(False)

    def after_step(self, training: Training) -> None:
        for factor in self._resting(training):
            factor.requires_grad_(True)

    def is_outer_turn(self, step: int) -> bool:
        return step // self.turn_steps % 2 == 0

    def _resting(self, training: Training) -> Iterator[nn.Parameter]:
        outer_turn = self.is_outer_turn(training.step)
        for layer in factorized_layers(training.model).values():
            yield layer.inner if outer_turn else layer.outer
