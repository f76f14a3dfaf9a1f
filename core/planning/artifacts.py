"""An earlier job's artifact as the dense checkpoint that its factors multiply back to."""

from core.planning.checkpoint import (
    TOKENIZER_FILES,
    WEIGHTS,
    Checkpoint,
    described,
    digest_of,
    read_config,
    read_tensors,
)
from core.planning.families import FAMILIES, Family
from core.planning.headers import TensorInfo, Tensors, refused, shown
from core.planning.model_files import ModelFiles
from core.recipe.recipe import fingerprint

PREFIX, CLASS_PREFIX = "rankwise-", "Rankwise"
"""What an artifact's model type and class name begin with."""
READ_FILES = frozenset({"config.json", WEIGHTS, *TOKENIZER_FILES})
"""The artifact's files that a later job reads."""


def checkpoint_of_artifact(files: ModelFiles, *, hashed: bool = True) -> Checkpoint:
    """Shapes, sizes and counts of the dense model; its digest is the artifact's own.

    Raises ModelError where the files are no artifact.
    """
    config = read_config(files)
    model_type = config["model_type"]
    if not (model_type.startswith(PREFIX) and isinstance(config.pop("ranks", None), dict)):
        raise refused("the files are no artifact of a job")
    for own in ("auto_map", "tied_heads"):
        config.pop(own, None)
    config["model_type"] = model_type.removeprefix(PREFIX)
    named = config.get("architectures") or []
    config["architectures"] = [name.removeprefix(CLASS_PREFIX) for name in named]
    digest = fingerprint({"artifact": digest_of(files)}) if hashed else ""
    family = FAMILIES.get(config["model_type"])
    return described(config, dense_tensors(read_tensors(files), family), digest)


def dense_tensors(tensors: Tensors, family: Family | None) -> Tensors:
    """The product of each pair of factors outer [out, rank] and inner [rank, in], as the family
    stores it; of an embedding, whose outer is [vocab, rank], as every family does."""
    dense: Tensors = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if part == "outer" and f"{layer}.inner" in tensors:
            product = _product(layer, tensor, tensors[f"{layer}.inner"])
            dense[f"{layer}.weight"] = _turned(product) if _turns(layer, family) else product
        elif not (part == "inner" and f"{layer}.outer" in tensors):
            dense[name] = tensor
    return dense


def _turns(layer: str, family: Family | None) -> bool:
    if family is None or not family.stored_transposed:
        return False
    return family.embedding is None or not layer.endswith(family.embedding)


def _turned(tensor: TensorInfo) -> TensorInfo:
    return TensorInfo(tensor.shape[::-1], tensor.dtype)


def _product(layer: str, outer: TensorInfo, inner: TensorInfo) -> TensorInfo:
    if len(outer.shape) != 2 or len(inner.shape) != 2 or outer.shape[1] != inner.shape[0]:
        raise refused(f"the factors of {shown(layer)} do not fit each other")
    return TensorInfo((outer.shape[0], inner.shape[1]), outer.dtype)
