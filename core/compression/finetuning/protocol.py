"""What a method says to the trainer: an objective, and hooks.

An *objective* gives the loss of each row of a batch: [b]. It may call the model more than once (two
passes and the distance between them), and a penalty on weights is added to every row's loss. What
it draws at random comes from torch's own generators, which the trainer seeds anew for every step.

A *hook* acts at every step, in this order:

    before_batch   nothing is computed yet: choose a path, set masks, let parameters rest
    (losses of the batch, part by part, and their gradients)
    before_step    gradients are whole, and not yet clipped: read importances, drop gradients
    (the optimizer's step)
    after_step     weights have moved: hold masks, zero moments, `Training.replace` parameters

One object may be both. Whatever a hook remembers between steps goes through `state_dict` and
`load_state_dict`, and what it draws at random comes from `Training.generator`, so that a resumed
training repeats an undisturbed one. `before_batch` may be called again for a step that was broken
off; it must then do the same.

    class Deletion(Hook):
        def before_step(self, training):
            for name, layer in self.layers.items():
                self.importance[name].lerp_((layer.scale * layer.scale.grad).abs(), 1 - 0.85)

        def after_step(self, training):
            for name, kept in self.units_to_keep(training.progress).items():
                layer = self.layers[name]
                training.replace(layer.outer, lambda outer: outer[:, kept])
                training.replace(layer.inner, lambda inner: inner[kept])

A replaced parameter carries its optimizer's moments along, in whatever way `take` cuts the weight.
A resumed model gets the shapes of its checkpoint before its weights are loaded, so a layer that can
shrink takes its sizes from its parameters and buffers, not from numbers beside them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.compression.finetuning.optimizer import replaced_in_optimizer
from core.compression.finetuning.position import Position
from core.compression.finetuning.schedule import step_seed
from core.compression.models.layers import replaced_parameter
from core.compression.tasks.batches import Batch
from core.recipe.events import LayerStructure


class Objective(Protocol):
    def __call__(self, model: nn.Module, batch: Batch, /) -> Tensor:
        """The loss of each row: [b]."""


@dataclass
class Training:
    """A training as its hooks see it, and may change it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    """In all."""
    seed: int
    position: Position

    @property
    def step(self) -> int:
        """Steps done."""
        return self.position.step

    @property
    def progress(self) -> float:
        """The share of steps that are done: 0 to 1."""
        return self.step / self.steps

    def generator(self, stream: int = 1) -> torch.Generator:
        """A fresh one on the CPU, the same for the same step; a hook's own by its stream."""
        return torch.Generator().manual_seed(step_seed(self.seed, self.step, stream))

    def replace(self, parameter: nn.Parameter, take: Callable[[Tensor], Tensor]) -> nn.Parameter:
        """Put what `take` keeps of a parameter in its place, wherever it is held."""
        kept = nn.Parameter(_own(take(parameter.detach())), parameter.requires_grad)
        replaced_parameter(self.model, parameter, kept)
        replaced_in_optimizer(self.optimizer, parameter, kept, lambda moment: _own(take(moment)))
        return kept


def _own(part: Tensor) -> Tensor:
    return part.clone(memory_format=torch.contiguous_format)


class Hook:
    """Does nothing at any point; a method overrides what it needs."""

    def before_batch(self, training: Training) -> None:
        pass

    def before_step(self, training: Training) -> None:
        pass

    def after_step(self, training: Training) -> None:
        pass

    @property
    def is_settled(self) -> bool:
        """The model is what it is meant to become. Until all hooks say so it cannot be the result
        (save at the very end), and no patience runs out."""
        return True

    def values(self) -> dict[str, float]:
        """What is worth plotting beside the loss, after a step."""
        return {}

    def structure(self) -> Sequence[LayerStructure]:
        """Each matrix as it is now; asked for some 200 times in a training."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings, and lists and dicts of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
