"""Which linear layers of a known architecture are factorized, as data.

A family lists the layers of one Transformer block in the order of the transformers module; names
are those of a model with a head, shapes are checked against the config. What has no family is read
from its tensors: see core.planning.generic.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.errors import ModelError, RecipeError
from core.planning.checkpoint import Checkpoint, is_tied
from core.planning.generic import HEADLESS, generic_targets
from core.planning.headers import FLOATING, TensorInfo, refused, shown
from core.planning.plan import TargetLayer, Use
from core.recipe.task import Task


@dataclass(frozen=True)
class Family:
    """One architecture family; sizes are named by their keys in config.json."""

    prefix: str
    """Of the base model inside the model with a head."""
    blocks: str
    """Module path of the list of blocks inside the base model."""
    depth: str
    """Config key: how many blocks."""
    layers: tuple[tuple[str, str, str], ...]
    """Module name inside a block, size of out_features, size of in_features: a key of the config,
    or one of `HEAD_SIZES`."""
    inner: tuple[str, str] | None = None
    """A list of layers inside each block, and the config key of its length."""
    shared: bool = False
    """A forward pass calls the same block several times."""
    shares_positions: bool = False
    """Some targets also project relative positions, once for all examples of a batch."""
    reads_forward: bool = False
    """No token sees a later one: a language model that predicts the next token."""
    stored_transposed: bool = False
    """Weights lie as [in, out] in the file and in the model: transformers' Conv1D."""
    embedding: str | None = None
    """Module path of the token embedding inside the base model."""


BERT_LAYERS = (
    ("attention.self.query", "hidden_size", "hidden_size"),
    ("attention.self.key", "hidden_size", "hidden_size"),
    ("attention.self.value", "hidden_size", "hidden_size"),
    ("attention.output.dense", "hidden_size", "hidden_size"),
    ("intermediate.dense", "intermediate_size", "hidden_size"),
    ("output.dense", "hidden_size", "intermediate_size"),
)
DISTILBERT_LAYERS = (
    ("attention.q_lin", "dim", "dim"),
    ("attention.k_lin", "dim", "dim"),
    ("attention.v_lin", "dim", "dim"),
    ("attention.out_lin", "dim", "dim"),
    ("ffn.lin1", "hidden_dim", "dim"),
    ("ffn.lin2", "dim", "hidden_dim"),
)
ALBERT_LAYERS = (
    ("attention.query", "hidden_size", "hidden_size"),
    ("attention.key", "hidden_size", "hidden_size"),
    ("attention.value", "hidden_size", "hidden_size"),
    ("attention.dense", "hidden_size", "hidden_size"),
    ("ffn", "intermediate_size", "hidden_size"),
    ("ffn_output", "hidden_size", "intermediate_size"),
)
DEBERTA_LAYERS = (
    ("attention.self.query_proj", "hidden_size", "hidden_size"),
    ("attention.self.key_proj", "hidden_size", "hidden_size"),
    ("attention.self.value_proj", "hidden_size", "hidden_size"),
    ("attention.output.dense", "hidden_size", "hidden_size"),
    ("intermediate.dense", "intermediate_size", "hidden_size"),
    ("output.dense", "hidden_size", "intermediate_size"),
)
GPT2_LAYERS = (
    ("attn.c_attn", "fused_size", "n_embd"),
    ("attn.c_proj", "n_embd", "n_embd"),
    ("mlp.c_fc", "inner_size", "n_embd"),
    ("mlp.c_proj", "n_embd", "inner_size"),
)
"""Query, key and value are one matrix."""
LLAMA_LAYERS = (
    ("self_attn.q_proj", "query_size", "hidden_size"),
    ("self_attn.k_proj", "key_value_size", "hidden_size"),
    ("self_attn.v_proj", "key_value_size", "hidden_size"),
    ("self_attn.o_proj", "hidden_size", "query_size"),
    ("mlp.gate_proj", "intermediate_size", "hidden_size"),
    ("mlp.up_proj", "intermediate_size", "hidden_size"),
    ("mlp.down_proj", "hidden_size", "intermediate_size"),
)
"""Grouped-query attention: several query heads share a key head and a value head."""

HEAD_SIZES = {"query_size": "num_attention_heads", "key_value_size": "num_key_value_heads"}
"""Sizes of so many heads of `head_dim` each."""

WORD_EMBEDDINGS = "embeddings.word_embeddings"

BERT = Family("bert", "encoder.layer", "num_hidden_layers", BERT_LAYERS, embedding=WORD_EMBEDDINGS)
ROBERTA = replace(BERT, prefix="roberta")
LLAMA = Family(
    "model",
    "layers",
    "num_hidden_layers",
    LLAMA_LAYERS,
    reads_forward=True,
    embedding="embed_tokens",
)

FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "electra": replace(BERT, prefix="electra"),
    "distilbert": Family(
        "distilbert",
        "transformer.layer",
        "n_layers",
        DISTILBERT_LAYERS,
        embedding=WORD_EMBEDDINGS,
    ),
    "albert": Family(
        "albert",
        "encoder.albert_layer_groups",
        "num_hidden_groups",
        ALBERT_LAYERS,
        inner=("albert_layers", "inner_group_num"),
        shared=True,
        embedding=WORD_EMBEDDINGS,
    ),
    "deberta-v2": Family(
        "deberta",
        "encoder.layer",
        "num_hidden_layers",
        DEBERTA_LAYERS,
        shares_positions=True,
        embedding=WORD_EMBEDDINGS,
    ),
    "gpt2": Family(
        "transformer",
        "h",
        "n_layer",
        GPT2_LAYERS,
        reads_forward=True,
        stored_transposed=True,
        embedding="wte",
    ),
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
}
"""By the config's model_type."""


def target_layers(
    checkpoint: Checkpoint, task: Task | None = None, *, embeddings: bool = False
) -> tuple[TargetLayer, ...]:
    """The factorizable layers in model order, named as in the model that the task asks for.

    That is one with a head, except for embeddings. A checkpoint of the bare base model (no
    ``bert.`` before its names) gives the same names. An architecture without a family is read from
    its tensors alone. Raises ModelError where the architecture is unknown, its tensors are not
    those the config promises, or it cannot do the task; RecipeError where the token embedding is
    asked for and no family names it.
    """
    family = FAMILIES.get(checkpoint.model_type)
    if embeddings and (family is None or family.embedding is None):
        raise _without_embedding(checkpoint.model_type)
    if family is None:
        return generic_targets(checkpoint, task)
    if task is not None:
        _refuse_other_tasks(checkpoint.model_type, family, task)
    prefix = "" if task is not None and task.type in HEADLESS else f"{family.prefix}."
    stored = _stored_prefix(checkpoint, family)
    in_blocks = (
        _target(checkpoint, family, prefix, stored, f"{block}.{layer[0]}", layer)
        for block in _blocks(checkpoint, family, stored)
        for layer in family.layers
    )
    if not embeddings or family.embedding is None:
        return tuple(in_blocks)
    vocab, dim = _table_sizes(checkpoint, stored, family.embedding)
    predicts = family.reads_forward and (task is None or task.type == "causal-lm")
    use: Use = "tied" if predicts and is_tied(checkpoint.config) else "lookup"
    return (TargetLayer(f"{prefix}{family.embedding}", dim, vocab, use), *in_blocks)


def _without_embedding(model_type: str) -> RecipeError:
    return RecipeError(
        f"the token embedding of a {shown(model_type)} model cannot be factorized",
        hint=f"leave embeddings at false; architectures with one: {', '.join(FAMILIES)}",
        pointer="/embeddings",
    )


def _table_sizes(checkpoint: Checkpoint, stored: str, path: str) -> tuple[int, int]:
    """Of the token embedding, stored [vocab, dim]: as a layer its input is a one-hot token."""
    vocab = _config_size(checkpoint, "vocab_size")
    tensor = _floating(checkpoint, stored, path)
    if len(tensor.shape) != 2 or tensor.shape[0] != vocab:
        raise refused(f"{path}.weight is {list(tensor.shape)}, config.json says {vocab} tokens")
    return vocab, tensor.shape[1]


def _blocks(checkpoint: Checkpoint, family: Family, stored: str) -> Iterator[str]:
    """The paths of all blocks inside the base model."""
    for block in _listed(checkpoint, stored, family.blocks, family.depth):
        if family.inner is None:
            yield block
        else:
            name, count = family.inner
            yield from _listed(checkpoint, stored, f"{block}.{name}", count)


def _listed(checkpoint: Checkpoint, stored: str, path: str, count_key: str) -> Iterator[str]:
    count = _config_size(checkpoint, count_key)
    next_one = f"{stored}{path}.{count}."
    if any(name.startswith(next_one) for name in checkpoint.tensors):
        raise refused("the checkpoint has more layers than its config.json says")
    yield from (f"{path}.{number}" for number in range(count))


def _refuse_other_tasks(model_type: str, family: Family, task: Task) -> None:
    """Whoever predicts the next token must not see it; who marks a span reads both directions."""
    able = {"causal-lm": family.reads_forward, "question-answering": not family.reads_forward}
    if able.get(task.type, True):
        return
    fitting = [
        name for name, other in FAMILIES.items() if other.reads_forward != family.reads_forward
    ]
    raise refused(
        f"a {model_type} model cannot be compressed for {task.type}",
        hint=f"architectures for {task.type}: {', '.join(fitting)}",
    )


def _size(checkpoint: Checkpoint, key: str) -> int:
    """Of a layer's side, in features."""
    if key == "fused_size":
        return 3 * _config_size(checkpoint, "n_embd")
    if key == "inner_size":
        return _inner_size(checkpoint)
    if key not in HEAD_SIZES:
        return _config_size(checkpoint, key)
    query_heads = _config_size(checkpoint, "num_attention_heads")
    heads = query_heads
    if checkpoint.config.get(HEAD_SIZES[key]) is not None:
        heads = _config_size(checkpoint, HEAD_SIZES[key])
    if checkpoint.config.get("head_dim") is not None:
        return heads * _config_size(checkpoint, "head_dim")
    return heads * (_config_size(checkpoint, "hidden_size") // query_heads)


def _inner_size(checkpoint: Checkpoint) -> int:
    """GPT-2's own name for it; four times the width where none is given."""
    if checkpoint.config.get("n_inner") is None:
        return 4 * _config_size(checkpoint, "n_embd")
    return _config_size(checkpoint, "n_inner")


def _config_size(checkpoint: Checkpoint, key: str) -> int:
    size = checkpoint.config.get(key)
    if type(size) is not int or size < 1:
        raise refused(f"config.json: {key} must be a positive integer")
    return size


def _stored_prefix(checkpoint: Checkpoint, family: Family) -> str:
    """What the stored names begin with: ``bert.``, or nothing when the base model was saved."""
    prefixed = f"{family.prefix}.{family.blocks}."
    return f"{family.prefix}." if any(n.startswith(prefixed) for n in checkpoint.tensors) else ""


def _target(
    checkpoint: Checkpoint,
    family: Family,
    prefix: str,
    stored: str,
    path: str,
    layer: tuple[str, str, str],
) -> TargetLayer:
    tensor = _floating(checkpoint, stored, path)
    out_features, in_features = (_size(checkpoint, key) for key in layer[1:])
    expected = (out_features, in_features)
    if family.stored_transposed:
        expected = (in_features, out_features)
    if tensor.shape != expected:
        raise refused(f"{path}.weight is {list(tensor.shape)}, config.json says {list(expected)}")
    return TargetLayer(f"{prefix}{path}", out_features, in_features)


def _floating(checkpoint: Checkpoint, stored: str, path: str) -> TensorInfo:
    tensor = checkpoint.tensors.get(f"{stored}{path}.weight")
    if tensor is None:
        raise _lacking(f"{stored}{path}.weight")
    if tensor.dtype not in FLOATING:
        raise refused(
            f"{path}.weight is {tensor.dtype}; only floating-point weights are factorized"
        )
    return tensor


def _lacking(tensor: str) -> ModelError:
    return refused(
        f"the checkpoint lacks the tensor {tensor}",
        hint="its config.json may belong to another checkpoint",
    )
