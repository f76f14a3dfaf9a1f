"""Which linear layers of a known architecture are factorized, as data.

A family lists the layers of one Transformer block in the order of the transformers module; names
are those of the AutoModelForSequenceClassification model, shapes are checked against the config.
"""

from dataclasses import dataclass

from core.errors import ModelError
from core.planning.checkpoint import Checkpoint
from core.planning.headers import FLOATING, refused, shown
from core.planning.plan import TargetLayer


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
    """Module name inside a block, config key of out_features, config key of in_features."""


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

FAMILIES: dict[str, Family] = {
    "bert": Family("bert", "encoder.layer", "num_hidden_layers", BERT_LAYERS),
    "roberta": Family("roberta", "encoder.layer", "num_hidden_layers", BERT_LAYERS),
    "electra": Family("electra", "encoder.layer", "num_hidden_layers", BERT_LAYERS),
    "distilbert": Family("distilbert", "transformer.layer", "n_layers", DISTILBERT_LAYERS),
}
"""By the config's model_type."""


def family_of(model_type: str) -> Family:
    if model_type not in FAMILIES:
        raise refused(
            f"the architecture {shown(model_type)} is not known",
            hint=f"known architectures: {', '.join(FAMILIES)}",
        )
    return FAMILIES[model_type]


def target_layers(checkpoint: Checkpoint) -> tuple[TargetLayer, ...]:
    """The factorizable layers in model order, named as in the sequence-classification model.

    A checkpoint of the bare base model (no ``bert.`` before its names) gives the same names.
    Raises ModelError where the family is unknown or the tensors are not those the config promises.
    """
    family = family_of(checkpoint.model_type)
    depth = _config_size(checkpoint, family.depth)
    stored = _stored_prefix(checkpoint, family)
    _refuse_deeper(checkpoint, f"{stored}{family.blocks}.{depth}.")
    return tuple(
        _target(checkpoint, family, stored, f"{family.blocks}.{block}.{name}", out_key, in_key)
        for block in range(depth)
        for name, out_key, in_key in family.layers
    )


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
    checkpoint: Checkpoint, family: Family, stored: str, path: str, out_key: str, in_key: str
) -> TargetLayer:
    tensor = checkpoint.tensors.get(f"{stored}{path}.weight")
    if tensor is None:
        raise _lacking(f"{stored}{path}.weight")
    expected = (_config_size(checkpoint, out_key), _config_size(checkpoint, in_key))
    if tensor.shape != expected:
        raise refused(f"{path}.weight is {list(tensor.shape)}, config.json says {list(expected)}")
    if tensor.dtype not in FLOATING:
        raise refused(
            f"{path}.weight is {tensor.dtype}; only floating-point weights are factorized"
        )
    return TargetLayer(f"{family.prefix}.{path}", *expected)


def _lacking(tensor: str) -> ModelError:
    return refused(
        f"the checkpoint lacks the tensor {tensor}",
        hint="its config.json may belong to another checkpoint",
    )
