"""What a backward pass keeps of each layer's inputs and outputs, from shapes alone.

Norms, attention scores and embeddings that are no targets are left out: a lower bound.
"""

from collections.abc import Sequence

from core.planning.blocks import Block, blocks_of
from core.planning.budgets import BYTES
from core.planning.plan import LayerPlan
from core.recipe.dynamic_ranks import DynamicRanks
from core.recipe.methods import LpafConfig, RankdynaConfig
from core.recipe.pruning import Pruning
from core.recipe.recipe import Recipe
from core.recipe.training import MixedRankFinetune, TrainingConfig


def stage_activations(layers: Sequence[LayerPlan], recipe: Recipe) -> tuple[int, int, int, int]:
    """Bytes kept for the backward pass while adapting, pruning or finding ranks, taking statistics,
    and fine-tuning, which with mixed ranks keeps two passes."""
    token = BYTES * recipe.task.max_length
    at_once = max(sum(map(features_kept, part)) for part in seen_at_once(layers, recipe))
    return (
        token * (0 if recipe.adapt == "never" else training_numbers(layers, recipe.adaptation)),
        token * training_numbers(layers, pruning_of(recipe) or dynamic_ranks_of(recipe)),
        token * at_once * (recipe.calibration.batch_size if recipe.needs_statistics else 0),
        token * training_numbers(layers, recipe.finetune) * passes(recipe),
    )


def training_numbers(layers: Sequence[LayerPlan], config: object) -> int:
    """Kept of a step's rows, at one position; 0 where nothing is trained."""
    if not isinstance(config, TrainingConfig):
        return 0
    rows = -(-config.batch_size // config.accumulation)
    blocks = blocks_of([layer.name for layer in layers]) if config.gradient_checkpointing else None
    if blocks is None:
        return rows * sum(map(features_kept, layers))
    members = members_of(blocks, layers)
    inputs = sum(block[0].in_features for block in members)
    return rows * (inputs + max(sum(map(features_kept, block)) for block in members))


def features_kept(layer: LayerPlan) -> int:
    """Per token; a token that is looked up is one number, which is left out."""
    linear = layer.in_features + layer.out_features
    return {"linear": linear, "lookup": layer.out_features, "tied": linear + layer.out_features}[
        layer.use
    ]


def seen_at_once(layers: Sequence[LayerPlan], recipe: Recipe) -> list[list[LayerPlan]]:
    """The layers by what of them the statistics pass holds in memory: all, or a block's."""
    blocks = blocks_of([layer.name for layer in layers]) if recipe.calibration.streamed else None
    return [list(layers)] if blocks is None else members_of(blocks, layers)


def members_of(blocks: Sequence[Block], layers: Sequence[LayerPlan]) -> list[list[LayerPlan]]:
    by_name = {layer.name: layer for layer in layers}
    return [[by_name[name] for name in block.layers] for block in blocks]


def pruning_of(recipe: Recipe) -> Pruning | None:
    return recipe.method.pruning if isinstance(recipe.method, LpafConfig) else None


def dynamic_ranks_of(recipe: Recipe) -> DynamicRanks | None:
    return recipe.method.training if isinstance(recipe.method, RankdynaConfig) else None


def passes(recipe: Recipe) -> int:
    """Of a step of fine-tuning through the model."""
    return 2 if isinstance(recipe.finetune, MixedRankFinetune) else 1
