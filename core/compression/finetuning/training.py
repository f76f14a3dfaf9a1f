"""The training loop: AdamW, linear warm-up and decay, clipping, accumulation, the best epoch kept.

Flat and small on purpose. It yields between steps, so that a caller can stop it there: closing the
generator writes a checkpoint. Row order, learning rate and dropout are functions of (seed, step),
so a resumed run repeats an undisturbed one bit for bit on CPU.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from core.compression.finetuning.checkpoint import CheckpointFolder, Position, Score
from core.compression.finetuning.schedule import Schedule, step_seed
from core.compression.progress import Checkpointed, Notice, Progress
from core.compression.tasks.batches import Batch, make_batch, training_order
from core.compression.tasks.examples import Examples
from core.errors import DeviceMemoryError, NumericalError
from core.recipe.training import TrainingConfig

Reports = Progress | Checkpointed | Notice
Objective = Callable[[nn.Module, Batch], Tensor]
"""(model, batch of b rows) -> the loss of each row, [b]."""
Validation = Callable[[nn.Module], Generator[Progress, None, Score]]


@dataclass(frozen=True)
class TrainingReport:
    steps: int
    best_epoch: int
    """0: no epoch improved on the start, and the model is as it was."""
    before: Score
    after: Score

    def as_json(self) -> dict[str, int | float]:
        metric = self.before.metric
        return {
            "steps": self.steps,
            "best_epoch": self.best_epoch,
            f"validation_{metric}_before": self.before.value,
            f"validation_{metric}_after": self.after.value,
            "validation_loss_before": self.before.loss,
            "validation_loss_after": self.after.loss,
        }


def train(
    model: nn.Module,
    examples: Examples,
    objective: Objective,
    validate: Validation,
    config: TrainingConfig,
    checkpoints: CheckpointFolder,
    *,
    seed: int,
    device: str = "cpu",
) -> Generator[Reports, None, TrainingReport]:
    """Train all parameters in place, and leave the model with the best weights that `validate` saw.

    Those before the first step compete too: training never ends below where it started.

    Raises:
        NumericalError: a loss or a gradient is not finite.
        DeviceMemoryError: out of device memory even in parts of half the size.
    """
    schedule = Schedule.of(config, len(examples))
    optimizer = make_optimizer(model, config)
    position = checkpoints.resume(model, optimizer) or Position(parts=config.accumulation)
    try:
        if not position.scores:
            yield from _score(model, validate, position, checkpoints)
        for epoch in range(position.epoch, config.epochs):
            order = training_order(examples.lengths, config.batch_size, seed, epoch)
            for rows in order[position.step - epoch * len(order) :]:
                batch = make_batch(examples, rows, device)
                rate = schedule.learning_rate(position.step)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss = yield from _step(model, batch, objective, optimizer, config, position, seed)
                position.step += 1
                values = {"loss": loss, "learning_rate": rate}
                yield Progress(position.step, schedule.steps, "step", values)
                if checkpoints.is_due:
                    checkpoints.save(position, model, optimizer)
                    yield Checkpointed(position.step)
            yield from _score(model, validate, position, checkpoints)
            position.epoch = epoch + 1
    except GeneratorExit:
        checkpoints.save(position, model, optimizer)
        raise
    checkpoints.load_best(model)
    model.eval()
    best = position.best_epoch
    return TrainingReport(position.step, best, position.scores[0], position.scores[best])


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW; biases and norms do not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,
    )


def _score(
    model: nn.Module, validate: Validation, position: Position, checkpoints: CheckpointFolder
) -> Generator[Progress, None, None]:
    score = yield from validate(model.eval())
    if not position.scores or score > max(position.scores):
        checkpoints.keep_best(model)
    position.scores.append(score)


def _step(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    position: Position,
    seed: int,
) -> Generator[Notice, None, float]:
    """One update; the mean loss of the batch. Out of memory, once: halve the parts and repeat."""
    model.train()
    try:
        loss = _accumulate(model, batch, objective, position.parts, step_seed(seed, position.step))
    except torch.OutOfMemoryError as error:
        if position.parts > config.accumulation:
            raise DeviceMemoryError(
                f"A batch of {config.batch_size} does not fit in {position.parts} parts.",
                hint="Lower the batch_size or raise the accumulation.",
            ) from error
        position.parts *= 2
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        yield Notice(
            f"Out of device memory: a batch is now taken in {position.parts} parts.", "warning"
        )
        return (yield from _step(model, batch, objective, optimizer, config, position, seed))
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))
    if not isfinite(norm + loss):
        raise _diverged(model, loss, position.step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def _accumulate(
    model: nn.Module, batch: Batch, objective: Objective, parts: int, seed: int
) -> float:
    """Gradients of the batch's mean loss, summed over its parts."""
    torch.manual_seed(seed)
    total = 0.0
    for part in batch.parts(parts):
        loss = objective(model, part).sum() / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _diverged(model: nn.Module, loss: float, step: int) -> NumericalError:
    broken = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
    ]
    return NumericalError(
        f"Step {step}: the loss is {loss:g}; not finite are the gradients of "
        f"{', '.join(broken[:3]) or 'no parameter'}.",
        hint="Lower the learning rate.",
    )
