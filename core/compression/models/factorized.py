"""Target layers of a model, and their low-rank form put in their place.

A token embedding's table is [vocab, dim]; as a layer whose input is a one-hot token its weight is
that table transposed. A head that is tied to it is the other use of the same table: it becomes a
low-rank layer over the embedding's own factors, which stay one pair.
"""

from jaxtyping import Float
from torch import Tensor, nn

from core.compression.low_rank import Factors, LowRankLinear
from core.compression.low_rank_embedding import LowRankEmbedding
from core.compression.models.layers import linear_layer, replace_layer
from core.errors import ModelError

LowRank = LowRankLinear | LowRankEmbedding


def is_embedding(model: nn.Module, name: str) -> bool:
    """Whether the module of this name is looked up, not multiplied by."""
    return isinstance(dict(model.named_modules()).get(name), nn.Embedding)


def token_embedding(model: nn.Module, name: str) -> nn.Embedding:
    """
    Raises:
        ModelError: what it looks up is not simply a row of its table.
    """
    embedding = model.get_submodule(name)
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


def put_factors(model: nn.Module, name: str, factors: Factors) -> LowRank:
    """Replace a dense target by the low-rank layer of these factors of its `target_weight`."""
    if is_embedding(model, name):
        padding_idx = token_embedding(model, name).padding_idx
        return _put_embedding(model, name, LowRankEmbedding.from_factors(factors, padding_idx))
    low_rank = LowRankLinear.from_factors(factors, linear_layer(model, name).bias)
    replace_layer(model, name, low_rank)
    return low_rank


def put_empty(model: nn.Module, name: str, rank: int) -> LowRank:
    """The same before its weights are loaded."""
    if is_embedding(model, name):
        table = token_embedding(model, name)
        thin = LowRankEmbedding(table.num_embeddings, table.embedding_dim, rank, table.padding_idx)
        return _put_embedding(model, name, thin.to(table.weight.dtype))
    dense = linear_layer(model, name)
    bias = dense.bias is not None
    low_rank = LowRankLinear(dense.in_features, dense.out_features, rank, bias)
    replace_layer(model, name, low_rank.to(dense.weight.dtype))
    return low_rank


def _put_embedding(model: nn.Module, name: str, embedding: LowRankEmbedding) -> LowRankEmbedding:
    for head_name, head in tied_heads(model, name).items():
        replace_layer(model, head_name, _tied_head(embedding, head))
    replace_layer(model, name, embedding)
    return embedding


def _tied_head(embedding: LowRankEmbedding, dense: nn.Linear) -> LowRankLinear:
    bias = dense.bias is not None
    head = LowRankLinear(dense.in_features, dense.out_features, embedding.rank, bias)
    head.outer, head.inner, head.bias = embedding.outer, embedding.inner, dense.bias
    return head


def low_rank_layers(model: nn.Module) -> dict[str, LowRank]:
    """Module name → layer, in the model's own order, tied heads among them."""
    return {n: layer for n, layer in model.named_modules() if isinstance(layer, LowRank)}


def ties(model: nn.Module) -> dict[str, str]:
    """Low-rank head → the low-rank embedding whose factors it shares."""
    layers = low_rank_layers(model)
    embeddings = {n: layer for n, layer in layers.items() if isinstance(layer, LowRankEmbedding)}
    return {
        head: name
        for head, layer in layers.items()
        for name, embedding in embeddings.items()
        if head != name and layer.outer is embedding.outer
    }
