"""Linear layers by name, and what a model weighs."""

from torch import nn

from core.errors import ModelError


def linear_layer(model: nn.Module, name: str) -> nn.Linear:
    """The layer of this name.

    Raises:
        ModelError: there is none, or it is no nn.Linear.
    """
    try:
        layer = model.get_submodule(name)
    except AttributeError:
        raise ModelError(f"The model has no layer {name!r}.", pointer="/model") from None
    if not isinstance(layer, nn.Linear):
        kind = type(layer).__name__
        raise ModelError(f"The layer {name!r} is a {kind}, not a linear layer.", pointer="/model")
    return layer


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)


def parameter_count(model: nn.Module) -> int:
    """All parameters; a tied one counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def parameter_bytes(model: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
