"""One update of the weights: losses in parts, gradients, clipping, the optimizer, the hooks."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import nn

from core.compression.finetuning.precision import autocast
from core.compression.finetuning.protocol import Hook, Objective, Training
from core.compression.finetuning.schedule import step_seed
from core.compression.progress import Notice
from core.compression.tasks.batches import Batch
from core.errors import DeviceMemoryError, NumericalError
from core.recipe.training import TrainingConfig


@dataclass(frozen=True)
class Step:
    training: Training
    objective: Objective
    hooks: Sequence[Hook]
    config: TrainingConfig
    device: str
    pointer: str

    def __call__(self, batch: Batch) -> Generator[Notice, None, float]:
        """The mean loss of the batch, before the update."""
        training, model, optimizer = self.training, self.training.model, self.training.optimizer
        model.train()
        for hook in self.hooks:
            hook.before_batch(training)
        loss = yield from self._gradients(batch)
        for hook in self.hooks:
            hook.before_step(training)
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), self.config.max_grad_norm))
        if not isfinite(norm + loss):
            raise self._diverged(loss)
        optimizer.step()
        for hook in self.hooks:
            hook.after_step(training)
        optimizer.zero_grad(set_to_none=True)
        return loss

    def _gradients(self, batch: Batch) -> Generator[Notice, None, float]:
        """Out of memory, once: halve the parts and repeat."""
        position = self.training.position
        try:
            return self._accumulate(batch)
        except torch.OutOfMemoryError as error:
            if position.parts > self.config.accumulation:
                raise self._too_large() from error
        position.parts *= 2
        self.training.model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        yield Notice(
            f"Out of device memory: a batch is now taken in {position.parts} parts.", "warning"
        )
        return (yield from self._gradients(batch))

    def _accumulate(self, batch: Batch) -> float:
        """Gradients of the batch's mean loss, summed over its parts."""
        training = self.training
        torch.manual_seed(step_seed(training.seed, training.step))
        total = 0.0
        for part in batch.parts(training.position.parts):
            with autocast(self.config.precision, self.device):
                loss = self.objective(training.model, part).sum() / len(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _too_large(self) -> DeviceMemoryError:
        return DeviceMemoryError(
            f"A batch of {self.config.batch_size} does not fit in "
            f"{self.training.position.parts} parts.",
            hint="Lower the batch_size, raise the accumulation, or set gradient_checkpointing.",
            pointer=f"{self.pointer}/batch_size",
        )

    def _diverged(self, loss: float) -> NumericalError:
        broken = [
            name
            for name, parameter in self.training.model.named_parameters()
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
        ]
        return NumericalError(
            f"Step {self.training.step}: the loss is {loss:g}; not finite are the gradients of "
            f"{', '.join(broken[:3]) or 'no parameter'}.",
            hint="Lower the learning rate.",
            pointer=f"{self.pointer}/learning_rate",
        )
