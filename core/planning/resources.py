"""What a job will take, from shapes alone: an upper bound on work, a lower bound on memory.

Nothing is measured. All weights, gradients and statistics are float32; every text is as long as
max_length; an `auto` adaptation is counted as if it trained; attention scores, norms and embeddings
that are no targets are left out of FLOPs and activations. Looking a token up costs nothing; its
factored row is multiplied by the other factor.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.planning.activations import dynamic_ranks_of, pruning_of, seen_at_once, stage_activations
from core.planning.budgets import BYTES
from core.planning.dynamic_ranks import full_unit_params
from core.planning.plan import LayerPlan, Plan
from core.planning.search_work import candidates, search_bytes, searched_rows
from core.recipe.recipe import Recipe
from core.recipe.refit import SequentialRefit
from core.recipe.statistics import LARGEST_GRAM_SIDE, Statistic
from core.recipe.training import DistillationConfig, MixedRankFinetune, TrainingConfig

TRAINED_BYTES = 4 * BYTES
"""Of one parameter that AdamW trains: itself, its gradient, two moments."""
CPU_FLOPS = 4e10
"""Per second, of two ordinary cores: what the time class is told by."""

TimeClass = Literal["minutes", "hours", "days"]


class Resources(BaseModel):
    """Memory and work of one job; every number follows from shapes and the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model_bytes_before: int
    """4 · parameters of the dense model."""
    model_bytes_after: int
    """4 · parameters of the planned model."""
    target_flops_per_token_before: int
    """2 · Σ weights that multiply: one multiplication and one addition for each of out·in of the
    target layers, none for an embedding that is looked up."""
    target_flops_per_token_after: int
    """2 · Σ kept weights that multiply: k(out+in), k·dim for an embedding, both for a tied one."""
    statistics_bytes: int
    """4 · the numbers in all sums that the recipe asks for."""
    activation_bytes: int
    """4 · batch · max_length · Σ (in + out) of the largest batch: what a backward pass keeps. Of an
    embedding dim, and of a tied one the head's dim and vocab as well. Under gradient checkpointing
    every block's input and the layers of one block."""
    peak_bytes: int
    """Largest of: training the dense model, pruning it or finding its ranks, the statistics pass,
    the search for a plan that has to be measured, training the planned one."""
    flops: int | None
    """Training, statistics and refit over all their rows, at 6 · target weights per token (forward
    2, backward 4), and 2 for every row that a candidate plan answers; None where the number of rows
    is not known."""
    time_class: TimeClass | None
    """Order of magnitude on two CPU cores at 40 GFLOP/s; None with flops."""


def estimate_resources(plan: Plan, recipe: Recipe, train_rows: int | None) -> Resources:
    """What the recipe will take with this plan; train_rows is the train split's size, if known."""
    flops = None if train_rows is None else total_flops(plan, recipe, train_rows)
    return Resources(
        model_bytes_before=BYTES * plan.model_params_before,
        model_bytes_after=BYTES * plan.model_params_after,
        target_flops_per_token_before=2 * weights_before(plan.layers),
        target_flops_per_token_after=2 * weights_after(plan.layers),
        statistics_bytes=statistics_bytes(plan.layers, recipe),
        activation_bytes=max(stage_activations(plan.layers, recipe)),
        peak_bytes=peak_bytes(plan, recipe),
        flops=flops,
        time_class=None if flops is None else time_class(flops),
    )


def weights_before(layers: Sequence[LayerPlan]) -> int:
    """Weights that multiply for every token."""
    return sum(0 if layer.use == "lookup" else layer.params_before for layer in layers)


def weights_after(layers: Sequence[LayerPlan]) -> int:
    """The same of the planned layers."""
    return sum(map(_planned_weights, layers))


def _planned_weights(layer: LayerPlan) -> int:
    multiplied = 0 if layer.use == "lookup" else layer.params_after
    looked_up = 0 if layer.use == "linear" else layer.out_features * (layer.rank or 0)
    return multiplied + looked_up


def statistics_bytes(layers: Sequence[LayerPlan], recipe: Recipe) -> int:
    return BYTES * sum(
        numbers_in(statistic, layer)
        for layer in layers
        for statistic in recipe.required_statistics(layer.out_features, layer.in_features)
    )


def numbers_in(statistic: Statistic, layer: LayerPlan) -> int:
    """Gram: side² (side where it is over 8192); F: one per weight; sums over tokens and Fisher
    sums: one per feature."""
    match statistic:
        case Statistic.FISHER:
            return layer.params_before
        case Statistic.FISHER_IN | Statistic.INPUT_SUM | Statistic.INPUT_ABS_SUM:
            return layer.in_features
        case Statistic.FISHER_OUT:
            return layer.out_features
        case Statistic.INPUT_GRAM | Statistic.INPUT_GRAD_GRAM:
            side = layer.in_features
        case Statistic.OUTPUT_GRAM | Statistic.OUTPUT_GRAD_GRAM:
            side = layer.out_features
    return side * side if side <= LARGEST_GRAM_SIDE else side


def peak_bytes(plan: Plan, recipe: Recipe) -> int:
    """Weights (with gradients and moments where trained), sums and activations of each stage."""
    adapting, shaping, taking, finetuning = stage_activations(plan.layers, recipe)
    dense = BYTES * plan.model_params_before
    teacher = dense if isinstance(recipe.finetune, DistillationConfig) else 0
    parts = seen_at_once(plan.layers, recipe)
    return max(
        dense,
        TRAINED_BYTES * plan.model_params_before + adapting if adapting else 0,
        shaping_bytes(plan, recipe) + shaping if shaping else 0,
        dense + taking + max(statistics_bytes(part, recipe) for part in parts),
        dense + statistics_bytes(plan.layers, recipe) + searching_bytes(plan, recipe),
        finetuning_bytes(plan, recipe) + teacher + finetuning if finetuning else 0,
    )


def searching_bytes(plan: Plan, recipe: Recipe) -> int:
    """Decompositions, and where candidates are refitted one more model."""
    refits = candidates(recipe) > 0 and isinstance(recipe.refit, SequentialRefit)
    refitted = BYTES * plan.model_params_before if refits else 0
    return search_bytes(plan.layers, recipe) + refitted


def shaping_bytes(plan: Plan, recipe: Recipe) -> int:
    """Of the training that prunes, or of the one that finds ranks and begins with all of them."""
    if dynamic_ranks_of(recipe) is not None:
        units = full_units(plan.layers)
        return TRAINED_BYTES * (plan.model_params_before - plan.target_params_before + units)
    return pruning_bytes(plan, recipe)


def full_units(layers: Sequence[LayerPlan]) -> int:
    """Numbers in all layers at full rank."""
    return sum(full_unit_params(layer.out_features, layer.in_features) for layer in layers)


def pruning_bytes(plan: Plan, recipe: Recipe) -> int:
    """The dense model in training; for each target weight its score and that one's gradient, the
    masked weight and that one's, a moment pair where Adam moves scores, and a byte of mask."""
    pruning = pruning_of(recipe)
    assert pruning is not None
    adam = pruning.score_learning_rate is not None
    scores = 0 if pruning.scores == "magnitude" else 4 if adam else 2
    per_weight = BYTES * (scores + 2) + 1
    return TRAINED_BYTES * plan.model_params_before + per_weight * plan.target_params_before


def finetuning_bytes(plan: Plan, recipe: Recipe) -> int:
    """The planned model in training; with mixed ranks the pruned weights and their mask too."""
    planned = TRAINED_BYTES * plan.model_params_after
    if not isinstance(recipe.finetune, MixedRankFinetune):
        return planned
    trains = recipe.finetune.sparse_weights == "trainable"
    return planned + (1 + (TRAINED_BYTES if trains else BYTES)) * plan.target_params_before


def total_flops(plan: Plan, recipe: Recipe, train_rows: int) -> int:
    """6 · weights · tokens of every pass; gradient checkpointing, a teacher, a streamed pass and an
    answering candidate add a forward pass of 2, a refit has three of them, and every candidate its
    own refit. A step with mixed ranks has two passes."""
    dense, planned = weights_before(plan.layers), weights_after(plan.layers)
    adaptation = None if recipe.adapt == "never" else recipe.adaptation
    trained = (
        training_flops(dense, adaptation)
        + training_flops(dense, pruning_of(recipe))
        + training_flops(full_units(plan.layers), dynamic_ranks_of(recipe))
        + training_flops(trained_weights(dense, planned, recipe), recipe.finetune)
        + (2 * dense if isinstance(recipe.finetune, DistillationConfig) else 0)
        * epochs(recipe.finetune)
    )
    rows = (
        trained * train_rows
        + (8 if recipe.calibration.streamed else 6) * dense * calibration_rows(recipe, train_rows)
        + 6 * dense * refit_rows(recipe, train_rows) * (1 + candidates(recipe))
        + 2 * dense * searched_rows(plan.layers, recipe, train_rows)
    )
    return rows * recipe.task.max_length


def training_flops(weights: int, config: object) -> int:
    """Of each row at one position, in all epochs."""
    if not isinstance(config, TrainingConfig):
        return 0
    return (8 if config.gradient_checkpointing else 6) * weights * config.epochs


def trained_weights(dense: int, planned: int, recipe: Recipe) -> int:
    """What a row of fine-tuning multiplies by: with mixed ranks the pruned weights as often as they
    are taken in the mean, p_0 · (1 − low_rank_share) / 2, else the factors, in each pass."""
    config = recipe.finetune
    if not isinstance(config, MixedRankFinetune):
        return planned
    often = config.sparse_probability * (1 - config.low_rank_share) / 2
    return round(2 * (often * dense + (1 - often) * planned))


def calibration_rows(recipe: Recipe, train_rows: int) -> int:
    if not recipe.needs_statistics:
        return 0
    return min(train_rows, recipe.calibration.rows or train_rows)


def refit_rows(recipe: Recipe, train_rows: int) -> int:
    if not isinstance(recipe.refit, SequentialRefit):
        return 0
    return min(train_rows, recipe.refit.rows or train_rows)


def epochs(config: object) -> int:
    return config.epochs if isinstance(config, TrainingConfig) else 0


def time_class(flops: int) -> TimeClass:
    seconds = flops / CPU_FLOPS
    return "minutes" if seconds < 3600 else "hours" if seconds < 86_400 else "days"
