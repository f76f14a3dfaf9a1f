"""The linear layers of an architecture that has no family, read from its tensors alone.

Taken is every matrix ``….weight`` inside a numbered list of blocks that is not, by its name, an
embedding, a router or an expert. Whether these are linear layers of the model, a run verifies once
it has the model itself.
"""

import re
from collections.abc import Iterator, Mapping

from core.planning.architectures import HEADS, architectures
from core.planning.checkpoint import Checkpoint
from core.planning.headers import FLOATING, TensorInfo, refused, shown
from core.planning.plan import TargetLayer
from core.recipe.task import Task

HEADLESS = frozenset({"embedding"})
"""Tasks whose model is the base model itself."""
IN_BLOCKS = re.compile(r"(?:^|\.)\d+\.")
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")
"""How the classes of models that predict the next token are called."""

EMBEDDING = re.compile(r"emb|relative_attention_bias|position|^w[tp]e$")
ROUTERS = frozenset({"gate", "router", "gating"})


def generic_targets(checkpoint: Checkpoint, task: Task | None) -> tuple[TargetLayer, ...]:
    """Named as in the model that the task asks for, in the order of the blocks.

    Raises ModelError where transformers has no such model for the task, or nothing is taken.
    """
    wanted = _prefix(checkpoint, task)
    stored = _stored_prefix(checkpoint)
    taken = sorted(_taken(checkpoint.tensors), key=_in_order)
    if not taken:
        raise refused(f"no linear layers were found in this {checkpoint.model_type}")
    return tuple(
        _target(f"{wanted}{name.removeprefix(stored)}", name, checkpoint.tensors) for name in taken
    )


def why_left(name: str, tensor: TensorInfo) -> str | None:
    """Why a tensor is not factorized; None where nothing speaks against it."""
    module, _, parameter = name.rpartition(".")
    last = module.rpartition(".")[2]
    if len(tensor.shape) > 2:
        return f"{len(tensor.shape)} dimensions"
    if EMBEDDING.search(last):
        return "an embedding"
    if "experts" in module.split("."):
        return "experts of a mixture"
    if last in ROUTERS and IN_BLOCKS.search(name):
        return "a router"
    if not IN_BLOCKS.search(name):
        return "outside the blocks"
    if parameter != "weight":
        return "no weight of a linear layer"
    return "one row or column" if min(tensor.shape) < 2 else None


def _taken(tensors: Mapping[str, TensorInfo]) -> Iterator[str]:
    """Modules by their stored names."""
    for name, tensor in tensors.items():
        is_matrix = len(tensor.shape) == 2 and tensor.dtype in FLOATING
        if is_matrix and why_left(name, tensor) is None:
            yield name.removesuffix(".weight")


def _in_order(name: str) -> list[tuple[int, str]]:
    """Numbers count as numbers."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in name.split(".")]


def _target(name: str, stored: str, tensors: Mapping[str, TensorInfo]) -> TargetLayer:
    """A bias tells which side is the output: it is as long as the columns in a Conv1D."""
    rows, columns = tensors[f"{stored}.weight"].shape
    bias = tensors.get(f"{stored}.bias")
    if bias is not None and bias.shape == (columns,) != (rows,):
        return TargetLayer(name, columns, rows)
    return TargetLayer(name, rows, columns)


def _prefix(checkpoint: Checkpoint, task: Task | None) -> str:
    """What stands before the base model's names in the model that the task asks for."""
    heads = _heads(checkpoint)
    if task is None:
        return f"{next(iter(heads.values()))}."
    if task.type in HEADLESS:
        return ""
    if HEADS[task.type] not in heads or not _suits(checkpoint, task):
        raise refused(
            f"a {checkpoint.model_type} model cannot be compressed for {task.type}",
            hint=f"name another model for {task.type}, or save this one with such a head",
        )
    return f"{heads[HEADS[task.type]]}."


def _heads(checkpoint: Checkpoint) -> Mapping[str, str]:
    """Raises ModelError where transformers has no model of this type for any of our tasks."""
    heads = architectures().get(checkpoint.model_type)
    if heads is None:
        raise refused(
            f"the architecture {shown(checkpoint.model_type)} is not known",
            hint="name a model whose model_type transformers has a task's class for",
        )
    if checkpoint.config.get("is_encoder_decoder"):
        raise refused("an encoder with a decoder is not compressed")
    return heads


def _suits(checkpoint: Checkpoint, task: Task) -> bool:
    """What was trained to see both directions would see the token that it has to predict."""
    predicts = any(name.endswith(LANGUAGE_MODELS) for name in checkpoint.architectures)
    return predicts or task.type != "causal-lm"


def _stored_prefix(checkpoint: Checkpoint) -> str:
    """Nothing where the bare base model was saved."""
    prefixes = sorted({f"{prefix}." for prefix in _heads(checkpoint).values()})
    return next((p for p in prefixes if any(n.startswith(p) for n in checkpoint.tensors)), "")
