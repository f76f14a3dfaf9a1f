"""Target layers of a model, and what is put in their place.

A token embedding's table is [vocab, dim]; as a layer whose input is a one-hot token its weight is
that table transposed. A head that is tied to it is the other use of the same table: what replaces
the embedding replaces the head too, and both go on sharing one table, or one pair of factors.
"""

from collections.abc import Iterable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.compression.low_rank import Factors, LowRankLinear
from core.compression.low_rank_embedding import LowRankEmbedding
from core.compression.models.layers import layer_at, linear_layer, replace_layers
from core.errors import ModelError
from core.planning.plan import TargetLayer

LowRank: TypeAlias = LowRankLinear | LowRankEmbedding
Layers: TypeAlias = dict[str, nn.Module]
"""What takes a target's place, by module name: heads that are tied to it have theirs."""


def is_embedding(model: nn.Module, name: str) -> bool:
    """Whether the module of this name is looked up, not multiplied by."""
    return isinstance(layer_at(model, name), nn.Embedding)


def token_embedding(model: nn.Module, name: str) -> nn.Embedding:
    """
    Raises:
        ModelError: what it looks up is not simply a row of its table.
    """
    embedding = layer_at(model, name)
    if type(embedding) is not nn.Embedding or embedding.max_norm is not None:
        kind = type(embedding).__name__
        raise ModelError(
            f"The token embedding {name!r} is a {kind} that does more than look up a row.",
            hint="Leave embeddings at false.",
            pointer="/embeddings",
        )
    return embedding


def tied_heads(model: nn.Module, name: str) -> dict[str, nn.Linear]:
    """The linear layers whose weight is this embedding's table, by module name."""
    table = token_embedding(model, name).weight
    return {
        other: module
        for other, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight is table
    }


def target_weight(model: nn.Module, name: str) -> Float[Tensor, "out in"]:
    """What is factorized: an embedding's table stands as [dim, vocab]."""
    if is_embedding(model, name):
        return token_embedding(model, name).weight.T
    return linear_layer(model, name).weight


def target_bias(model: nn.Module, name: str) -> Float[Tensor, "out"] | None:
    """An embedding has none."""
    return None if is_embedding(model, name) else linear_layer(model, name).bias


def verify_targets(model: nn.Module, targets: Iterable[TargetLayer]) -> None:
    """What was planned from a checkpoint's headers is what the model has.

    Raises:
        ModelError: a target is no linear layer or token embedding of the model, or one of other
            sizes.
    """
    for target in targets:
        sizes = tuple(target_weight(model, target.name).shape)
        if sizes != (target.out_features, target.in_features):
            raise ModelError(
                f"The layer {target.name!r} is {list(sizes)} in the model; "
                f"its file says {[target.out_features, target.in_features]}.",
                pointer="/model",
            )


def low_rank_layers(
    model: nn.Module, name: str, factors: Factors, bias: Float[Tensor, "out"] | None
) -> Layers:
    """Of these factors of the target's `target_weight`."""
    if not is_embedding(model, name):
        return {name: LowRankLinear.from_factors(factors, bias)}
    padding_idx = token_embedding(model, name).padding_idx
    return _with_low_rank_heads(model, name, LowRankEmbedding.from_factors(factors, padding_idx))


def dense_layers(model: nn.Module, name: str, weight: Float[Tensor, "out in"]) -> Layers:
    """The same target, with the same bias, of another weight."""
    own = nn.Parameter(weight.detach().clone())
    if not is_embedding(model, name):
        return {name: _linear(own, target_bias(model, name))}
    dense = token_embedding(model, name)
    table = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
        own.detach().T.contiguous(), freeze=False, padding_idx=dense.padding_idx
    )
    heads = tied_heads(model, name).items()
    return {name: table} | {head: _linear(table.weight, own.bias) for head, own in heads}


def put_empty(model: nn.Module, name: str, rank: int) -> None:
    """A low-rank layer in the target's place, before its weights are loaded."""
    weight, bias = target_weight(model, name), target_bias(model, name)
    out_features, in_features = weight.shape
    factors = Factors(weight.new_empty(out_features, rank), weight.new_empty(rank, in_features))
    replace_layers(model, low_rank_layers(model, name, factors, bias))


def _linear(weight: nn.Parameter, bias: Tensor | None) -> nn.Linear:
    out_features, in_features = weight.shape
    with torch.device("meta"):
        layer = nn.Linear(in_features, out_features, bias is not None)
    layer.weight = weight
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach())
    return layer


def _with_low_rank_heads(model: nn.Module, name: str, embedding: LowRankEmbedding) -> Layers:
    heads = tied_heads(model, name).items()
    return {name: embedding} | {head: _tied_head(embedding, dense) for head, dense in heads}


def _tied_head(embedding: LowRankEmbedding, dense: nn.Linear) -> LowRankLinear:
    bias = dense.bias is not None
    head = LowRankLinear(dense.in_features, dense.out_features, embedding.rank, bias)
    head.outer, head.inner, head.bias = embedding.outer, embedding.inner, dense.bias
    return head


def factorized_layers(model: nn.Module) -> dict[str, LowRank]:
    """Module name → layer, in the model's own order, tied heads among them."""
    return {n: layer for n, layer in model.named_modules() if isinstance(layer, LowRank)}


def ties(model: nn.Module) -> dict[str, str]:
    """Low-rank head → the low-rank embedding whose factors it shares."""
    layers = factorized_layers(model)
    embeddings = {n: layer for n, layer in layers.items() if isinstance(layer, LowRankEmbedding)}
    return {
        head: name
        for head, layer in layers.items()
        for name, embedding in embeddings.items()
        if head != name and layer.outer is embedding.outer
    }
