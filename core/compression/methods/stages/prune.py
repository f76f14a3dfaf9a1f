"""prune: the target layers lose most of their weights while the model learns the task.

Left are a model of the same shapes, zeros in place of what went, and what each matrix has come to.
"""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from core.compression.finetuning.pruning import (
    PrunedLinear,
    PruningHook,
    PruningOptimizer,
    put_pruned,
    take_pruned,
)
from core.compression.finetuning.training import train
from core.compression.layer_statistics import PruningScores
from core.compression.methods.pretrained import load_pretrained
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.training_checkpoints import open_checkpoints
from core.compression.methods.validation import Validation
from core.compression.models.factorized import verify_targets
from core.compression.models.layers import layers_at, linear_layer, parameter_count, replace_layers
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.compression.sparsity import MatrixFacts, facts_of
from core.planning.pruning import kept_weights
from core.recipe.methods import LpafConfig
from core.recipe.pruning import Pruning

SCORES = "scores.safetensors"
REPORT = "pruning.json"


class Prune(Stage):
    name = "prune"
    cached = True

    def compute(self, run: Run, folder: Path) -> Work:
        config = pruning_of(run)
        checkpoints = yield from open_checkpoints(run, self.name, config)
        model = load_pretrained(run) if config.start == "pretrained" else run.load_dense()
        verify_targets(model, run.targets)
        kept = weights_to_keep(run, model)
        before = yield from look_at(model, list(kept))
        own = layers_at(model, list(kept))
        layers = put_pruned(model, list(kept), config)
        report = yield from train(
            model,
            run.examples["train"],
            run.task.training_losses,
            Validation(run, run.examples["validation"]),
            config,
            checkpoints,
            seed=stage_seed(run.recipe.seed, self.name),
            device=run.device,
            hooks=[PruningHook(layers, kept, config)],
            make_optimizer=PruningOptimizer(layers),
            pointer="/method/pruning",
        )
        replace_layers(model, own)
        take_pruned(model, layers)
        after = yield from look_at(model, list(kept))
        save_model(model, str(folder / "model.safetensors"))
        save_scores(folder / SCORES, layers)
        write_json(folder / "training.json", report.as_json())
        write_json(folder / REPORT, matrices(before, after))

    def summary(self, run: Run) -> Summary:
        training: Summary = run.read(self.name, "training.json")
        found = run.read(self.name, REPORT)
        ranks = [matrix["numerical_rank_after"] / matrix["full_rank"] for matrix in found]
        return {**training, "rank_share_mean": sum(ranks) / len(ranks)}


def pruning_of(run: Run) -> Pruning:
    method = run.recipe.method
    assert isinstance(method, LpafConfig)
    return method.pruning


def weights_to_keep(run: Run, model: nn.Module) -> dict[str, int]:
    """Of the layers that are pruned."""
    kept = kept_weights(run.targets, parameter_count(model), run.recipe, pruning_of(run))
    return {each.name: kept[each.name] for each in run.targets if kept[each.name] < each.params}


def look_at(
    model: nn.Module, names: list[str]
) -> Generator[Progress, None, dict[str, MatrixFacts]]:
    facts: dict[str, MatrixFacts] = {}
    for done, name in enumerate(names, start=1):
        facts[name] = facts_of(linear_layer(model, name).weight.detach())
        yield Progress(done, len(names), "matrix")
    return facts


def save_scores(path: Path, layers: Mapping[str, PrunedLinear]) -> None:
    """Σ |S| of the weights that are left, by row and by column."""
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        left = layer.standing().abs().double() * layer.mask
        tensors |= {f"{name}/rows": left.sum(1), f"{name}/columns": left.sum(0)}
    save_file(tensors, path)


def load_scores(run: Run) -> dict[str, PruningScores]:
    """By layer name; nothing where the method prunes nothing."""
    if not isinstance(run.recipe.method, LpafConfig):
        return {}
    tensors = load_file(run.folder("prune") / SCORES, device=run.device)
    names = dict.fromkeys(key.rsplit("/", 1)[0] for key in tensors)
    return {
        name: PruningScores(tensors[f"{name}/rows"], tensors[f"{name}/columns"]) for name in names
    }


def matrices(
    before: Mapping[str, MatrixFacts], after: Mapping[str, MatrixFacts]
) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "full_rank": found.full_rank,
            "sparsity": found.sparsity,
            "numerical_rank_before": before[name].numerical_rank,
            "numerical_rank_after": found.numerical_rank,
            "exact_rank_before": before[name].exact_rank,
            "exact_rank_after": found.exact_rank,
            "empty_rows": found.empty_rows,
            "empty_columns": found.empty_columns,
        }
        for name, found in after.items()
    ]


def describe_pruning(run: Run) -> dict[str, Any] | None:
    """Each matrix before and after, and the training; None where the method prunes nothing."""
    if not isinstance(run.recipe.method, LpafConfig):
        return None
    training = run.read("prune", "training.json")
    return {"training": training, "layers": run.read("prune", REPORT)}
