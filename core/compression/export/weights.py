"""Weights and configurations of the small model and of its dense counterpart, byte for byte."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.compression.export.generated_code import GeneratedNames, skeleton
from core.compression.models.factorized import factorized_layers, ties
from core.compression.models.layers import transposed_layers
from core.errors import NumericalError

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def write_low_rank(folder: Path, model: nn.Module, names: GeneratedNames) -> None:
    """The small model: its factors, and a config that only its own code can read."""
    tied = ties(model)
    config = dense_config(model, names) | {
        "model_type": names.model_type,
        "architectures": [names.model_class],
        "auto_map": names.auto_map,
        "ranks": {n: layer.rank for n, layer in factorized_layers(model).items() if n not in tied},
    }
    if tied:
        config["tied_heads"] = tied
    write_weights(folder, dict(model.state_dict()))
    write_json(folder / CONFIG_FILE, config)


def write_dense(folder: Path, model: nn.Module, names: GeneratedNames) -> None:
    """The same function with every pair of factors multiplied back into one matrix."""
    write_weights(folder, dense_state(model))
    write_json(folder / CONFIG_FILE, dense_config(model, names))


def dense_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of the dense model: W = outer · inner, computed in float64 and cast back.

    W lies as the dense model's own class stores it, which for a Conv1D is transposed.
    """
    state, tied = dict(model.state_dict()), ties(model)
    transposed = transposed_layers(skeleton(model))
    for name, layer in factorized_layers(model).items():
        outer, inner = state.pop(f"{name}.outer"), state.pop(f"{name}.inner")
        if name not in tied:
            weight = (outer.double() @ inner.double()).to(layer.outer.dtype)
            state[f"{name}.weight"] = weight.T if name in transposed else weight
    return state | {f"{head}.weight": state[f"{name}.weight"] for head, name in tied.items()}


def dense_config(model: nn.Module, names: GeneratedNames) -> dict[str, Any]:
    """The family's own config, without the path that the model was read from."""
    config: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=True))  # type: ignore[union-attr,operator]
    config.pop("auto_map", None)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return config | {"architectures": [names.dense_class], "dtype": dtype}


def write_weights(folder: Path, state: dict[str, Tensor]) -> None:
    """One safetensors file, tied tensors once. Equal tensors give equal bytes.

    Raises:
        NumericalError: a tensor holds a value that is not finite.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"{name} holds values that are not finite.")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in untied(state).items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / WEIGHTS_FILE).chmod(0o644)  # save_file leaves it to its owner alone


def untied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the further names of a tensor that has several."""
    first: dict[tuple[int, torch.Size], str] = {}
    for name, tensor in state.items():
        first.setdefault((tensor.data_ptr(), tensor.shape), name)
    return {name: state[name] for name in first.values()}


def write_json(path: Path, content: Any) -> None:
    written = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(written + "\n", encoding="utf-8")
