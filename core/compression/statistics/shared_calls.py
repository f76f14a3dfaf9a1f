"""Whose gradient is whose where a layer is called once for all examples.

DeBERTa's query and key projections read relative positions, [1, rows, in], beside the texts, and
the model repeats what comes out for every example. The backward pass adds the copies' gradients up
before the layer sees them; each example's own is read here from the repeated tensor, along with
the rows that it used: the others do not count as its tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import ModelError

FOLLOWED = frozenset(
    {
        Tensor.view,
        Tensor.reshape,
        Tensor.permute,
        Tensor.transpose,
        Tensor.contiguous,
    }
)
"""What only moves numbers about."""

Seen = Callable[[Tensor], None]
"""Called with each example's own gradient, [batch, rows, out]."""


@dataclass(frozen=True)
class Origin:
    """The call that an output comes from."""

    layer: str
    rows: int
    out_features: int
    seen: Seen


class SharedOutput(Tensor):
    """A layer's output, followed to where it is repeated for every example."""

    origin: Origin
    places: Tensor
    """Of its numbers in the layer's output."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            if func in FOLLOWED:
                places = func(args[0].places, *args[1:], **(kwargs or {}))
                return followed(result, args[0].origin, places)
            if func is Tensor.repeat:
                own_gradients(result, args[0].origin, args[0].places)
            elif isinstance(result, Tensor):
                raise cannot(next(a for a in args if isinstance(a, cls)).origin)
            return result


def shared_output(layer: str, y: Float[Tensor, "1 rows out"], seen: Seen) -> SharedOutput:
    """The output `y` of a call that all examples share."""
    origin = Origin(layer, y.shape[1], y.shape[2], seen)
    return followed(y, origin, torch.arange(y.numel(), device=y.device).view(y.shape))


def followed(values: Tensor, origin: Origin, places: Tensor) -> SharedOutput:
    output: Any = values.as_subclass(SharedOutput)
    output.origin, output.places = origin, places
    shared: SharedOutput = output
    return shared


def own_gradients(repeated: Tensor, origin: Origin, places: Tensor) -> None:
    """Each copy's gradient is one example's."""
    copies = repeated.numel() // places.numel()
    if repeated.shape != (copies * places.shape[0], *places.shape[1:]):
        raise cannot(origin)

    def sort(gradient: Tensor) -> None:
        own = gradient.new_empty(copies, origin.rows * origin.out_features)
        own[:, places.flatten()] = gradient.reshape(copies, -1)
        origin.seen(own.view(copies, origin.rows, origin.out_features))

    repeated.register_hook(sort)  # type: ignore[no-untyped-call]


def cannot(origin: Origin) -> ModelError:
    return ModelError(
        f"{origin.layer} is called on an input that all examples share, and what becomes of its "
        "output cannot be told apart by example",
        pointer="/model",
    )
