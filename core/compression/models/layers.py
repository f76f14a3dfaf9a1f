"""Linear layers by name, and what a model weighs.

GPT-2's Conv1D is a linear layer whose weight lies as [in, out]; here it is shown as the nn.Linear
that computes the same, so that W is [out, in] everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from core.errors import ModelError


def linear_layer(model: nn.Module, name: str) -> nn.Linear:
    """The layer of this name; of a Conv1D, an nn.Linear on the same memory.

    Raises:
        ModelError: there is none, or it is no linear layer.
    """
    return as_linear(layer_at(model, name), name)


def layer_at(model: nn.Module, name: str) -> nn.Module:
    """
    Raises:
        ModelError: there is none.
    """
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise ModelError(f"The model has no layer {name!r}.", pointer="/model") from None


def layers_at(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    return {name: layer_at(model, name) for name in names}


def as_linear(layer: nn.Module, name: str) -> nn.Linear:
    if isinstance(layer, nn.Linear):
        return layer
    if isinstance(layer, Conv1D):
        return _turned(layer)
    kind = type(layer).__name__
    raise ModelError(f"The layer {name!r} is a {kind}, not a linear layer.", pointer="/model")


def _turned(layer: Conv1D) -> nn.Linear:
    linear = nn.Linear(layer.nx, layer.nf, device="meta")
    linear.weight = nn.Parameter(layer.weight.detach().T, requires_grad=False)
    linear.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return linear


def transposed_layers(model: nn.Module) -> frozenset[str]:
    """The layers that store their weight as [in, out]."""
    return frozenset(n for n, layer in model.named_modules() if isinstance(layer, Conv1D))


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)


def replace_layers(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    for name, layer in layers.items():
        replace_layer(model, name, layer)


@contextmanager
def replaced_layers(model: nn.Module, layers: Mapping[str, nn.Module]) -> Iterator[None]:
    """While inside, the model has these layers in place of its own."""
    own = {name: model.get_submodule(name) for name in layers}
    try:
        replace_layers(model, layers)
        yield
    finally:
        replace_layers(model, own)


def parameter_count(model: nn.Module) -> int:
    """All parameters; a tied one counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def parameter_bytes(model: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def replaced_parameter(model: nn.Module, old: nn.Parameter, new: nn.Parameter) -> None:
    """Put the new parameter wherever the model holds the old one."""
    for module in model.modules():
        for name, held in list(module._parameters.items()):
            if held is old:
                setattr(module, name, new)


def take_shapes(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Parameters and buffers of other shapes are put in place, empty, of those of a state dict;
    what was one tensor under two names stays one."""
    for name, old in dict(model.named_parameters()).items():
        if tensors[name].shape != old.shape:
            new = nn.Parameter(old.new_empty(tensors[name].shape), old.requires_grad)
            replaced_parameter(model, old, new)
    for name, buffer in dict(model.named_buffers()).items():
        if name in tensors and tensors[name].shape != buffer.shape:
            module, _, attribute = name.rpartition(".")
            empty = buffer.new_empty(tensors[name].shape)
            setattr(model.get_submodule(module), attribute, empty)
