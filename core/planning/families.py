"""Which linear layers of a known architecture are factorized, as data.

A family lists the layers of one Transformer block in the order of the transformers module; names
are those of a model with a head, shapes are checked against the config.
"""

from dataclasses import dataclass

from core.errors import ModelError, RecipeError
from core.planning.checkpoint import Checkpoint, is_tied
from core.planning.headers import FLOATING, TensorInfo, refused, shown
from core.planning.plan import TargetLayer, Use
from core.recipe.task import Task

HEADLESS = frozenset({"embedding"})
"""Tasks whose model is the base model itself."""


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
    reads_forward: bool = False
    """No token sees a later one: a language model that predicts the next token."""
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

FAMILIES: dict[str, Family] = {
    "bert": Family(
        "bert", "encoder.layer", "num_hidden_layers", BERT_LAYERS, embedding=WORD_EMBEDDINGS
    ),
    "roberta": Family(
        "roberta", "encoder.layer", "num_hidden_layers", BERT_LAYERS, embedding=WORD_EMBEDDINGS
    ),
    "electra": Family(
        "electra", "encoder.layer", "num_hidden_layers", BERT_LAYERS, embedding=WORD_EMBEDDINGS
    ),
    "distilbert": Family(
        "distilbert",
        "transformer.layer",
        "n_layers",
        DISTILBERT_LAYERS,
        embedding=WORD_EMBEDDINGS,
    ),
    "llama": Family(
        "model",
        "layers",
        "num_hidden_layers",
        LLAMA_LAYERS,
        reads_forward=True,
        embedding="embed_tokens",
    ),
    "mistral": Family(
        "model",
        "layers",
        "num_hidden_layers",
        LLAMA_LAYERS,
        reads_forward=True,
        embedding="embed_tokens",
    ),
    "qwen2": Family(
        "model",
        "layers",
        "num_hidden_layers",
        LLAMA_LAYERS,
        reads_forward=True,
        embedding="embed_tokens",
    ),
}
"""By the config's model_type."""


def family_of(model_type: str) -> Family:
    if model_type not in FAMILIES:
        raise refused(
            f"the architecture {shown(model_type)} is not known",
            hint=f"known architectures: {', '.join(FAMILIES)}",
        )
    return FAMILIES[model_type]


def target_layers(
    checkpoint: Checkpoint, task: Task | None = None, *, embeddings: bool = False
) -> tuple[TargetLayer, ...]:
    """The factorizable layers in model order, named as in the model that the task asks for.

    That is one with a head, except for embeddings. A checkpoint of the bare base model (no
    ``bert.`` before its names) gives the same names. Raises ModelError where the family is unknown,
    its tensors are not those the config promises, or it cannot do the task; RecipeError where the
    token embedding is asked for and the family names none.
    """
    family = family_of(checkpoint.model_type)
    if task is not None:
        _refuse_other_tasks(checkpoint.model_type, family, task)
    prefix = "" if task is not None and task.type in HEADLESS else f"{family.prefix}."
    depth = _config_size(checkpoint, family.depth)
    stored = _stored_prefix(checkpoint, family)
    _refuse_deeper(checkpoint, f"{stored}{family.blocks}.{depth}.")
    in_blocks = (
        _target(checkpoint, prefix, stored, f"{family.blocks}.{block}.{name}", out_key, in_key)
        for block in range(depth)
        for name, out_key, in_key in family.layers
    )
    if not embeddings:
        return tuple(in_blocks)
    return (_embedding(checkpoint, family, prefix, stored), *in_blocks)


def _embedding(checkpoint: Checkpoint, family: Family, prefix: str, stored: str) -> TargetLayer:
    """The token embedding, stored [vocab, dim], as a layer whose input is a one-hot token."""
    if family.embedding is None:
        raise RecipeError(
            f"the token embedding of a {checkpoint.model_type} model cannot be factorized",
            hint="leave embeddings at false",
            pointer="/embeddings",
        )
    vocab = _config_size(checkpoint, "vocab_size")
    tensor = _floating(checkpoint, stored, family.embedding)
    if len(tensor.shape) != 2 or tensor.shape[0] != vocab:
        raise refused(
            f"{family.embedding}.weight is {list(tensor.shape)}, config.json says {vocab} tokens"
        )
    head = family.reads_forward and prefix != "" and is_tied(checkpoint.config)
    use: Use = "tied" if head else "lookup"
    return TargetLayer(f"{prefix}{family.embedding}", tensor.shape[1], vocab, use)


def _refuse_other_tasks(model_type: str, family: Family, task: Task) -> None:
    """A language model reads forward, what classifies and marks texts reads in both directions."""
    if task.type == "embedding" or (task.type == "causal-lm") == family.reads_forward:
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
    if key not in HEAD_SIZES:
        return _config_size(checkpoint, key)
    query_heads = _config_size(checkpoint, "num_attention_heads")
    heads = query_heads
    if checkpoint.config.get(HEAD_SIZES[key]) is not None:
        heads = _config_size(checkpoint, HEAD_SIZES[key])
    if checkpoint.config.get("head_dim") is not None:
        return heads * _config_size(checkpoint, "head_dim")
    return heads * (_config_size(checkpoint, "hidden_size") // query_heads)


def _config_size(checkpoint: Checkpoint, key: str) -> int:
    size = checkpoint.config.get(key)
    if type(size) is not int or size < 1:
        raise refused(f"config.json: {key} must be a positive integer")
    return size


def _stored_prefix(checkpoint: Checkpoint, family: Family) -> str:
    """What the stored names begin with: ``bert.``, or nothing when the base model was saved."""
    prefixed = f"{family.prefix}.{family.blocks}."
    return f"{family.prefix}." if any(n.startswith(prefixed) for n in checkpoint.tensors) else ""


def _refuse_deeper(checkpoint: Checkpoint, next_block: str) -> None:
    if any(name.startswith(next_block) for name in checkpoint.tensors):
        raise refused("the checkpoint has more layers than its config.json says")


def _target(
    checkpoint: Checkpoint, prefix: str, stored: str, path: str, out_key: str, in_key: str
) -> TargetLayer:
    tensor = _floating(checkpoint, stored, path)
    expected = (_size(checkpoint, out_key), _size(checkpoint, in_key))
    if tensor.shape != expected:
        raise refused(f"{path}.weight is {list(tensor.shape)}, config.json says {list(expected)}")
    return TargetLayer(f"{prefix}{path}", *expected)


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
