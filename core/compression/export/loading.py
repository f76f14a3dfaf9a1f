"""Our own loader of an artifact: core's classes, never the Python files inside the folder."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_model
from torch import nn
from transformers import CONFIG_MAPPING

from core.compression.export.generated_code import AUTO_CLASSES, MODEL_TYPE_PREFIX
from core.compression.export.weights import CONFIG_FILE, WEIGHTS_FILE
from core.compression.models.factorized import put_empty, target_weight
from core.compression.models.loading import attention
from core.errors import ModelError

GENERATED_KEYS = frozenset(
    {"model_type", "architectures", "auto_map", "ranks", "tied_heads", "dtype"}
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_artifact(folder: Path) -> nn.Module:
    """The small model, in eval mode on the CPU.

    Raises:
        ModelError: the folder is no artifact, or its ranks and weights do not fit its config.
    """
    content = _read_config(folder)
    model = _dense_skeleton(content)
    for name, rank in content["ranks"].items():
        put_empty(model, name, _checked_rank(model, name, rank))
    try:
        load_model(model, folder / WEIGHTS_FILE, strict=True)
    except (RuntimeError, OSError) as error:
        raise ModelError(f"The weights do not fit the config: {error}") from error
    return model.eval()


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"config.json cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("ranks"), dict):
        raise ModelError("config.json names no ranks: this is no artifact of Rankwise.")
    return content


def _dense_skeleton(content: dict[str, Any]) -> nn.Module:
    """The family's model before any layer is replaced; its weights are about to be loaded."""
    family = str(content.get("model_type")).removeprefix(MODEL_TYPE_PREFIX)
    if family not in CONFIG_MAPPING:
        raise ModelError(f"transformers knows no model type {family!r}.")
    own = {key: value for key, value in content.items() if key not in GENERATED_KEYS}
    try:
        config = CONFIG_MAPPING[family](**own)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise ModelError(f"config.json is no {family} config: {error}") from error
    auto_class = _auto_class(content)
    model: nn.Module = getattr(transformers, auto_class).from_config(
        config,
        dtype=_dtype(content),
        attn_implementation=attention(auto_class, config),
        trust_remote_code=False,
    )
    return model


def _auto_class(content: dict[str, Any]) -> str:
    auto_map = content.get("auto_map")
    named = set(auto_map) & AUTO_CLASSES if isinstance(auto_map, dict) else set()
    if len(named) != 1:
        raise ModelError("config.json names no Auto class of a task that is known here.")
    return str(named.pop())


def _dtype(content: dict[str, Any]) -> torch.dtype:
    name = content.get("dtype")
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise ModelError(f"The dtype must be one of {', '.join(DTYPES)}, not {name!r}.")
    return dtype


def _checked_rank(model: nn.Module, name: str, rank: Any) -> int:
    largest = min(target_weight(model, name).shape)
    if type(rank) is not int or not 1 <= rank <= largest:
        raise ModelError(f"The rank of {name!r} must be within 1 … {largest}, not {rank!r}.")
    return rank
