"""Small trainings that several tests run, stop and look at."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.compression.finetuning.checkpoint import CheckpointFolder
from core.compression.finetuning.protocol import Objective
from core.compression.finetuning.score import Score
from core.compression.finetuning.training import Reports, TrainingReport, train
from core.compression.low_rank import Factors, LowRankLinear
from core.compression.models.layers import replace_layer
from core.compression.models.loading import load_model
from core.compression.progress import Progress
from core.compression.tasks.batches import reading_batches
from core.compression.tasks.examples import Examples
from core.recipe.training import TrainingConfig
from tests.compression.tasks.reading import SINGLE

NAMES = ("bad", "good")
CONFIG = TrainingConfig(epochs=2, batch_size=8, learning_rate=5e-3)
SEED = 5
task_loss = SINGLE.training_losses


def fresh(folder: Path) -> nn.Module:
    return load_model(folder, SINGLE.auto_class, NAMES).model


def factorized(folder: Path, rank: int = 6) -> nn.Module:
    """The same model with thin feed-forward layers."""
    model = fresh(folder)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and layer.out_features * layer.in_features == 32 * 64:
            u, sigma, v_t = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
            factors = Factors(u[:, :rank] * sigma[:rank], v_t[:rank])
            replace_layer(model, name, LowRankLinear.from_factors(factors, layer.bias))
    return model


def scored_on(examples: Examples) -> Any:
    @torch.no_grad()
    def validate(model: nn.Module) -> Generator[Progress, None, Score]:
        right, loss = 0.0, 0.0
        for batch in reading_batches(examples, 32, "cpu"):
            logits = model(**batch.inputs).logits
            right += float((logits.argmax(1) == batch.labels).sum())
            loss += float(task_loss(model, batch).sum())
            yield Progress(1, 1, "validation row")
        return Score(right / len(examples), -loss / len(examples))

    return validate


def scripted(*scores: Score) -> Any:
    """Whatever the model: these scores, one after the other."""
    left = iter(scores)

    def validate(model: nn.Module) -> Generator[Progress, None, Score]:
        yield Progress(1, 1, "validation row")
        return next(left)

    return validate


def training(
    model: nn.Module,
    examples: Examples,
    checkpoints: Path,
    config: TrainingConfig = CONFIG,
    objective: Objective = task_loss,
    every: float = 1e9,
    validate: Any = None,
    fingerprint: str = "",
    **others: Any,
) -> Generator[Reports, None, TrainingReport]:
    saved = CheckpointFolder(checkpoints, every, config.checkpoint_steps, fingerprint=fingerprint)
    scoring = validate or scored_on(examples)
    return train(model, examples, objective, scoring, config, saved, seed=SEED, **others)


def finish(
    work: Generator[Reports, None, TrainingReport], reports: list[Reports] | None = None
) -> TrainingReport:
    while True:
        try:
            report = next(work)
        except StopIteration as finished:
            outcome: TrainingReport = finished.value
            return outcome
        if reports is not None:
            reports.append(report)


def steps_of(reports: list[Reports]) -> list[Progress]:
    return [r for r in reports if isinstance(r, Progress) and r.unit == "step"]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
