"""A search for ranks outside of a job, so that it can be looked into and timed step by step."""

from collections.abc import Generator, Sequence
from pathlib import Path

from torch import nn

from benchmarks.sentiment import Dense, make
from core.compression.finetuning.checkpoint import CheckpointFolder
from core.compression.finetuning.dynamic_ranks import DynamicRanksHook
from core.compression.finetuning.protocol import Hook
from core.compression.finetuning.score import Score
from core.compression.finetuning.training import Reports, TrainingReport, train
from core.compression.finetuning.units import put_units
from core.compression.methods.pretrained import load_pretrained
from core.compression.models.layers import parameter_count
from core.compression.progress import Progress
from core.planning.dynamic_ranks import unit_allowance
from core.recipe.dynamic_ranks import DynamicRanks

SEED = 17


def starting(
    dense: Dense, keep: float, config: DynamicRanks
) -> tuple[nn.Module, list[DynamicRanksHook]]:
    """The pre-trained model with all its units, and what deletes them."""
    budget = {"type": "keep_ratio", "value": keep}
    uniform = {"type": "uniform"}
    run = dense.run_of(method={"type": "rankdyna"}, budget=budget, allocation=uniform)
    make(run, ("resolve",))
    model = load_pretrained(run)
    allowance = unit_allowance(run.targets, parameter_count(model), run.recipe)
    layers = put_units(model, [layer.name for layer in run.targets])
    return model, [DynamicRanksHook(layers, allowance, 1, config)]


def training(
    dense: Dense, model: nn.Module, config: DynamicRanks, folder: Path, hooks: Sequence[Hook]
) -> Generator[Reports, None, TrainingReport]:
    checkpoints = CheckpointFolder(folder, 1e9, None, fingerprint=folder.name)
    losses, examples = dense.run.task.training_losses, dense.examples("train")
    return train(model, examples, losses, unscored, config, checkpoints, seed=SEED, hooks=hooks)


def unscored(model: nn.Module) -> Generator[Progress, None, Score]:
    """Validation is no part of what is looked at."""
    yield Progress(1, 1, "validation row")
    return Score(0.0, 0.0)
