"""dynamic_ranks: the target layers lose units of rank while the model learns the task.

Left are a model of the same shapes, each of whose target weights is of the rank that was found for
it, and these ranks.
"""

from pathlib import Path

from safetensors.torch import save_model

from core.compression.finetuning.dynamic_ranks import DynamicRanksHook, KeptOrthogonal
from core.compression.finetuning.protocol import Objective
from core.compression.finetuning.training import train
from core.compression.finetuning.units import UnitLinear, put_units, take_units
from core.compression.methods.pretrained import load_pretrained
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.training_checkpoints import open_checkpoints
from core.compression.methods.validation import Validation
from core.compression.models.factorized import verify_targets
from core.compression.models.layers import layers_at, parameter_count, replace_layers
from core.compression.run_state import Run, write_json
from core.planning.dynamic_ranks import dense_or, unit_allowance, unit_layers
from core.planning.plan import Ranks
from core.recipe.dynamic_ranks import DynamicRanks
from core.recipe.methods import RankdynaConfig

RANKS = "ranks.json"


class FindRanks(Stage):
    name = "dynamic_ranks"
    cached = True

    def compute(self, run: Run, folder: Path) -> Work:
        config = training_of(run)
        checkpoints = yield from open_checkpoints(run, self.name, config)
        model = load_pretrained(run) if config.start == "pretrained" else run.load_dense()
        verify_targets(model, run.targets)
        allowance = unit_allowance(run.targets, parameter_count(model), run.recipe)
        names = [layer.name for layer in unit_layers(run.targets, run.recipe)]
        own = layers_at(model, names)
        layers = put_units(model, names)
        hook = DynamicRanksHook(layers, allowance, run.recipe.allocation.min_rank, config)
        report = yield from train(
            model,
            run.examples["train"],
            objective(run, layers, config),
            Validation(run, run.examples["validation"]),
            config,
            checkpoints,
            seed=stage_seed(run.recipe.seed, self.name),
            device=run.device,
            hooks=[hook],
            pointer="/method/training",
        )
        replace_layers(model, own)
        take_units(model, layers)
        save_model(model, str(folder / "model.safetensors"))
        write_json(folder / "training.json", report.as_json())
        write_json(folder / RANKS, ranks_found(run, layers))

    def summary(self, run: Run) -> Summary:
        training: Summary = run.read(self.name, "training.json")
        return training


def training_of(run: Run) -> DynamicRanks:
    method = run.recipe.method
    assert isinstance(method, RankdynaConfig)
    return method.training


def objective(run: Run, layers: dict[str, UnitLinear], config: DynamicRanks) -> Objective:
    losses: Objective = run.task.training_losses
    if config.orthogonality == 0:
        return losses
    return KeptOrthogonal(losses, layers, config.orthogonality)


def ranks_found(run: Run, layers: dict[str, UnitLinear]) -> Ranks:
    """A layer whose units hold no fewer numbers than its weight stays dense."""
    return {
        target.name: dense_or(target, layers[target.name].rank) if target.name in layers else None
        for target in run.targets
    }


def read_ranks(run: Run) -> Ranks:
    found: Ranks = run.read("dynamic_ranks", RANKS)
    return found
