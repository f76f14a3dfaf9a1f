"""Linear layers by name, and what a model weighs.

GPT-2's Conv1D is a linear layer whose weight lies as [in, out]; here it is shown as the nn.Linear
that computes the same, so that W is [out, in] everywhere.
"""

from collections.abc import Iterable

from torch import nn
from transformers.pytorch_utils import Conv1D

from core.errors import ModelError
from core.planning.plan import TargetLayer


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


def verify_targets(model: nn.Module, targets: Iterable[TargetLayer]) -> None:
    """What was planned from a checkpoint's headers is what the model has.

    Raises:
        ModelError: a target is no linear layer of the model, or one of other sizes.
    """
    for target in targets:
        layer = linear_layer(model, target.name)
        sizes = (layer.out_features, layer.in_features)
        if sizes != (target.out_features, target.in_features):
            raise ModelError(
                f"The layer {target.name!r} is {list(sizes)} in the model; "
                f"its file says {[target.out_features, target.in_features]}.",
                pointer="/model",
            )


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)


def parameter_count(model: nn.Module) -> int:
    """All parameters; a tied one counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def parameter_bytes(model: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
