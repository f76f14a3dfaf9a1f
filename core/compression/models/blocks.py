"""A model's blocks one at a time: what each is called with, and its call repeated outside.

A block is called with the residual stream [batch, length, width] and with what is the same for all
blocks or for some (masks, position embeddings). `watched_calls` records that while the whole model
runs; `run_block` repeats a call on any stream.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import ModelError
from core.planning.blocks import Block, blocks_of


@dataclass(frozen=True)
class Call:
    """What a block was called with beside the stream."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def blocks_in(model: nn.Module, layers: Sequence[str], *, pointer: str) -> tuple[Block, ...]:
    """The model's blocks with their layers among these, in model order.

    Raises:
        ModelError: a layer lies in no block, or a block serves as several (as ALBERT's does).
    """
    blocks = blocks_of(layers)
    depth = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    if blocks is None or len(blocks) != depth:
        raise ModelError(
            "This model's target layers do not lie in a list of blocks that are called once each: "
            "it cannot be gone through block by block.",
            pointer=pointer,
        )
    return blocks


def run_block(block: nn.Module, stream: Tensor, call: Call) -> Tensor:
    """The residual stream behind the block."""
    return stream_in(block(stream, *call.arguments, **call.keywords))


def stream_in(output: Any) -> Tensor:
    """Some architectures' blocks return a tuple that begins with it."""
    stream: Tensor = output[0] if isinstance(output, tuple) else output
    return stream


def with_stream(output: Any, stream: Tensor) -> Any:
    """The block's output with another stream in it."""
    return (stream, *output[1:]) if isinstance(output, tuple) else stream


OnCall = Callable[[int, Tensor, Call], None]
"""(number of the block, stream before it, the rest of the call)"""


@contextmanager
def watched_calls(model: nn.Module, blocks: Sequence[Block], on_call: OnCall) -> Iterator[None]:
    """While inside, every block's call is shown. Key-value caches are off: a repeated call would
    find its own tokens there."""
    with ExitStack() as stack:
        stack.enter_context(without_cache(model))
        for number, block in enumerate(blocks):
            module = model.get_submodule(block.name)
            hook = _shown_to(on_call, number)
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


def _shown_to(on_call: OnCall, number: int) -> Callable[..., None]:
    def before(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        rest = dict(keywords)
        stream, *others = arguments or (rest.pop("hidden_states"),)
        on_call(number, stream, repeatable(Call(tuple(others), rest)))

    return before


def repeatable(call: Call) -> Call:
    """
    Raises:
        ModelError: the block reads something that a repeated call would not find again.
    """
    named = {**{str(n): value for n, value in enumerate(call.arguments)}, **call.keywords}
    for name, value in named.items():
        if not _is_plain(value):
            raise ModelError(
                f"Blocks of this model are called with {name}, a {type(value).__name__}: "
                "they cannot be run one at a time.",
                pointer="/model",
            )
    return call


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, (Tensor, bool, int, float, str, torch.dtype))


@contextmanager
def without_cache(model: nn.Module) -> Iterator[None]:
    config: Any = model.config
    used = getattr(config, "use_cache", None)
    if used is not None:
        config.use_cache = False
    try:
        yield
    finally:
        if used is not None:
            config.use_cache = used
