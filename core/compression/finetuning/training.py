"""The training loop: flat and small on purpose; what a method adds is an objective and hooks.

AdamW, a schedule by name, clipping, accumulation, validation by steps or epochs with patience, and
the best state kept. See `protocol` for what objectives and hooks are.

    report = yield from train(model, examples, objective, validate, config, checkpoints,
                              seed=17, hooks=[Alternation(...)])

It yields between steps, so that a caller can stop it there: closing the generator writes a
checkpoint. Row order, learning rate and everything drawn at random are functions of (seed, step),
so a resumed run repeats an undisturbed one bit for bit on CPU.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from core.compression.finetuning.checkpoint import (
    CheckpointFolder,
    CheckpointRefused,
    Saved,
    differences,
    machinery,
)
from core.compression.finetuning.optimizer import MakeOptimizer, adamw, set_learning_rate
from core.compression.finetuning.position import Position, Scored
from core.compression.finetuning.precision import why_not
from core.compression.finetuning.protocol import Hook, Objective, Training
from core.compression.finetuning.recomputation import recomputing
from core.compression.finetuning.schedule import Schedule, steps_per_epoch
from core.compression.finetuning.score import Score
from core.compression.finetuning.step import Step
from core.compression.models.layers import take_shapes
from core.compression.progress import Checkpointed, Notice, Progress, Structure, Validated
from core.compression.tasks.batches import make_batch, training_order
from core.compression.tasks.examples import Examples
from core.errors import NumericalError
from core.recipe.training import TrainingConfig

Reports = Progress | Checkpointed | Validated | Structure | Notice

STRUCTURES = 200
"""A training reports its structure so many times."""


class Validation(Protocol):
    def __call__(self, model: nn.Module, /) -> Generator[Progress, None, Score]:
        """How good the model is on the validation split."""


@dataclass(frozen=True)
class TrainingReport:
    steps: int
    """That were done; fewer than planned where patience ran out."""
    planned_steps: int
    best_step: int
    """0: nothing improved on the start, and the model is as it was."""
    before: Score
    after: Score
    scores: tuple[Scored, ...]

    @property
    def keeps_start(self) -> bool:
        return self.best_step == 0

    def as_json(self) -> dict[str, int | float | bool]:
        metric = self.before.metric
        return {
            "steps": self.steps,
            "planned_steps": self.planned_steps,
            "best_step": self.best_step,
            "start_kept": self.keeps_start,
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
    hooks: Sequence[Hook] = (),
    make_optimizer: MakeOptimizer = adamw,
    pointer: str = "",
) -> Generator[Reports, None, TrainingReport]:
    """Train in place, and leave the model with the best weights that `validate` saw.

    Those before the first step compete too: training never ends below where it started. (A hook
    that is not settled at the start, since its model is still too large, forgoes that.)

    Raises:
        NumericalError: a loss, a gradient or a score is not finite.
        DeviceMemoryError: out of device memory even in parts of half the size.
        ModelError: the config asks for what the architecture lacks; `pointer` is the config's own.
    """
    schedule = Schedule.of(config, len(examples))
    rows = RowOrder(examples, config, seed)
    saved = yield from _find(checkpoints, model)
    training = _begin(model, schedule.steps, saved, config, hooks, make_optimizer, seed)
    position, optimizer = training.position, training.optimizer
    step = Step(training, objective, hooks, config, device, pointer)
    if reason := why_not(config.precision, device):
        yield Notice(reason, "warning")
    try:
        with recomputing(model, config.gradient_checkpointing, pointer):
            while True:
                if rows.is_validated_at(position.step) and not position.is_scored:
                    yield from _score(training, validate, checkpoints, hooks)
                    yield from _save(training, checkpoints, hooks)
                if position.step == schedule.steps:
                    break
                if config.patience is not None and position.without_gain >= config.patience:
                    yield _patience_out(position, schedule.steps)
                    break
                rate = schedule.learning_rate(position.step)
                set_learning_rate(optimizer, rate)
                loss = yield from step(make_batch(examples, rows.of(position.step), device))
                position.step += 1
                values = {"loss": loss, "learning_rate": rate} | _values(hooks)
                yield Progress(position.step, schedule.steps, "step", values)
                yield from _structure(training, hooks)
                if checkpoints.is_due(position.step):
                    yield from _save(training, checkpoints, hooks)
    except GeneratorExit:
        checkpoints.save(position, model, optimizer, [hook.state_dict() for hook in hooks])
        raise
    best = position.best
    checkpoints.load_best(best.step, model)
    model.eval()
    scores = tuple(position.scores)
    return TrainingReport(
        position.step, schedule.steps, best.step, scores[0].score, best.score, scores
    )


class RowOrder:
    """Which rows each step sees, a function of (seed, step), and after which steps to validate."""

    def __init__(self, examples: Examples, config: TrainingConfig, seed: int):
        self._lengths, self._batch_size, self._seed = examples.lengths, config.batch_size, seed
        self._per_epoch = steps_per_epoch(config, len(examples))
        self._steps = config.epochs * self._per_epoch
        self._validate_every = config.validate_steps or self._per_epoch
        self._epoch = -1
        self._order: list[NDArray[np.int64]] = []

    def of(self, step: int) -> NDArray[np.int64]:
        epoch, place = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            self._order = training_order(self._lengths, self._batch_size, self._seed, epoch)
            self._epoch = epoch
        return self._order[place]

    def is_validated_at(self, step: int) -> bool:
        """Before the first step, and after the last."""
        return step % self._validate_every == 0 or step == self._steps


def _find(checkpoints: CheckpointFolder, model: nn.Module) -> Generator[Notice, None, Saved | None]:
    """The checkpoint to go on from, if there is one that can be used."""
    try:
        saved = checkpoints.load()
    except CheckpointRefused as refused:
        yield Notice(
            f"A training checkpoint is refused: {refused}. Training begins anew.", "warning"
        )
        return None
    changed = list(differences(saved.made_on, machinery(model))) if saved else []
    if changed:
        yield Notice(
            f"Training goes on from a checkpoint made otherwise ({'; '.join(changed)}): its last "
            "bits may differ from those of an undisturbed run.",
            "warning",
        )
    return saved


def _begin(
    model: nn.Module,
    steps: int,
    saved: Saved | None,
    config: TrainingConfig,
    hooks: Sequence[Hook],
    make_optimizer: MakeOptimizer,
    seed: int,
) -> Training:
    """At the start, or where the checkpoint was made."""
    if saved is None:
        position = Position(parts=config.accumulation)
        return Training(model, make_optimizer(model, config), steps, seed, position)
    take_shapes(model, saved.model)
    model.load_state_dict(saved.model)
    training = Training(model, make_optimizer(model, config), steps, seed, saved.position)
    training.optimizer.load_state_dict(saved.optimizer)
    for hook, state in zip(hooks, saved.hooks, strict=True):
        hook.load_state_dict(state)
    return training


def _score(
    training: Training, validate: Validation, checkpoints: CheckpointFolder, hooks: Sequence[Hook]
) -> Generator[Progress | Validated, None, None]:
    position, model = training.position, training.model
    score = yield from validate(model.eval())
    if not score.is_finite:
        raise NumericalError(
            f"After step {position.step} the validation split's {score.metric} is {score.value:g} "
            f"and its loss {score.loss:g}.",
            hint="Lower the learning rate.",
        )
    is_last = position.step == training.steps
    competes = is_last or all(hook.is_settled for hook in hooks)
    is_best = competes and (not position.contenders or score > position.best.score)
    if is_best:
        checkpoints.keep_best(position.step, model)
    position.scores.append(Scored(position.step, score, competes))
    yield Validated(position.step, score.metric, score.value, score.loss, is_best)


def _patience_out(position: Position, steps: int) -> Notice:
    return Notice(
        f"Training ends after step {position.step} of {steps}: {position.without_gain} validations "
        f"without a better score than that of step {position.best.step}."
    )


def _save(
    training: Training, checkpoints: CheckpointFolder, hooks: Sequence[Hook]
) -> Generator[Checkpointed, None, None]:
    states = [hook.state_dict() for hook in hooks]
    checkpoints.save(training.position, training.model, training.optimizer, states)
    yield Checkpointed(training.step)


def _values(hooks: Sequence[Hook]) -> dict[str, float]:
    return {name: value for hook in hooks for name, value in hook.values().items()}


def _structure(training: Training, hooks: Sequence[Hook]) -> Generator[Structure, None, None]:
    """Thinned where it comes from: looking at every matrix takes time."""
    is_last = training.step == training.steps
    if is_last or training.step % ceil(training.steps / STRUCTURES) == 0:
        layers = tuple(layer for hook in hooks for layer in hook.structure())
        if layers:
            yield Structure(training.step, training.steps, layers)
