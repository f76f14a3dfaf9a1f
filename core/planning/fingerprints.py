"""What each stage's output depends on, named by one hash per stage.

A stage's fingerprint covers its parents', the part of the recipe it reads, and the version of its
algorithm. Equal fingerprints mean that an output made before, by this job or another, can be used.
"""

from collections.abc import Mapping
from typing import Any

from core.recipe.methods import LpafConfig, RankdynaConfig
from core.recipe.recipe import Recipe, fingerprint
from core.recipe.training import TrainingConfig

STAGE_VERSIONS: Mapping[str, int] = {
    "resolve": 2,
    "adapt": 2,
    "prune": 1,
    "dynamic_ranks": 1,
    "statistics": 2,
    "spectra": 3,
    "plan": 2,
    "factorize": 4,
    "finetune": 2,
    "evaluate": 3,
    "export": 2,
}
"""Raise a stage's number when its algorithm changes: what it wrote before is then made anew."""

DTYPE = "float32"
"""What models are held in and statistics are summed in."""

NOT_IN_RESULT = {"checkpoint_seconds", "checkpoint_steps"}
CANDIDATES = {"batch_size", "bootstrap_samples", "confidence"}
"""What candidate plans are evaluated by."""


def stage_fingerprints(recipe: Recipe, model_digest: str, dataset_sha256: str) -> dict[str, str]:
    """The fingerprint of every stage, in the order in which they run.

    Model and dataset count by their content: where they lie and what they are called does not.
    """
    reads = stage_inputs(recipe, model_digest, dataset_sha256)
    fingerprints: dict[str, str] = {}
    parent = None
    for stage in stages_of(recipe):
        version = STAGE_VERSIONS[stage]
        parent = fingerprint(
            {"stage": stage, "version": version, "parent": parent, "reads": reads[stage]}
        )
        fingerprints[stage] = parent
    return fingerprints


def stages_of(recipe: Recipe) -> list[str]:
    """The method's own, and the spectra that its plan is made from."""
    stages = list(recipe.method.stages)
    stages.insert(stages.index("plan"), "spectra")
    return stages


def stage_inputs(recipe: Recipe, model_digest: str, dataset_sha256: str) -> dict[str, Any]:
    """What every stage reads beyond its parent's output."""
    own_seed = {} if recipe.dense_seed == recipe.seed else {"seed": recipe.seed}
    return {
        "resolve": {
            "model": model_digest,
            "dataset": dataset_sha256,
            "task": recipe.task.model_dump(mode="json", exclude={"dataset"}),
            "dtype": DTYPE,
        },
        "adapt": {
            "adapt": recipe.adapt,
            "training": _training(recipe.adaptation),
            "seed": recipe.dense_seed,
        },
        "prune": _pruning(recipe) | own_seed,
        "dynamic_ranks": _dynamic_ranks(recipe) | own_seed,
        "statistics": {
            "calibration": recipe.calibration.model_dump(mode="json", exclude={"phi", "also"}),
            "embeddings": recipe.embeddings,
            "wide": _required(recipe, 1, 2),
            "tall": _required(recipe, 2, 1),
        },
        "spectra": recipe.method.model_dump(mode="json", exclude={"pruning", "training"}),
        "plan": _planning(recipe) | (own_seed if recipe.measures_plans else {}),
        "factorize": _refit(recipe),
        "finetune": _training(recipe.finetune) | (own_seed if recipe.recovers else {}),
        "evaluate": recipe.evaluation.model_dump(mode="json") | own_seed,
        "export": sorted(recipe.exports),
    }


def _pruning(recipe: Recipe) -> dict[str, Any]:
    """With a ratio of its own, budgets share the pruned model."""
    if not isinstance(recipe.method, LpafConfig):
        return {}
    pruning = recipe.method.pruning
    by_budget = {
        "budget": recipe.budget.model_dump(mode="json"),
        "allocation": recipe.allocation.model_dump(mode="json"),
    }
    dense = {"keep_dense": sorted(recipe.allocation.keep_dense)}
    return _training(pruning) | (by_budget if pruning.keep_ratio is None else dense)


def _dynamic_ranks(recipe: Recipe) -> dict[str, Any]:
    if not isinstance(recipe.method, RankdynaConfig):
        return {}
    return _training(recipe.method.training) | {
        "budget": recipe.budget.model_dump(mode="json"),
        "allocation": recipe.allocation.model_dump(mode="json"),
    }


def _refit(recipe: Recipe) -> dict[str, Any] | None:
    return None if recipe.refit.type == "none" else recipe.refit.model_dump(mode="json")


def _planning(recipe: Recipe) -> dict[str, Any]:
    read: dict[str, Any] = {
        "budget": recipe.budget.model_dump(mode="json"),
        "allocation": recipe.allocation.model_dump(mode="json"),
    }
    if recipe.measures_plans:
        read["evaluation"] = recipe.evaluation.model_dump(mode="json", include=CANDIDATES)
        if (refit := _refit(recipe)) is not None:
            read["refit"] = refit
    return read


def _training(config: Any) -> dict[str, Any]:
    excluded = NOT_IN_RESULT if isinstance(config, TrainingConfig) else set()
    dumped: dict[str, Any] = config.model_dump(mode="json", exclude=excluded)
    return dumped


def _required(recipe: Recipe, out_features: int, in_features: int) -> list[str]:
    """The statistics taken of a layer; which ones depends on its smaller side only."""
    return sorted(recipe.required_statistics(out_features, in_features))
