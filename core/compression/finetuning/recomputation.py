"""Gradient checkpointing: the backward pass computes a block's activations again.

Chen et al., Training deep nets with sublinear memory cost, 2016. Dropout draws the same numbers the
second time, so gradients are those of the plain pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from core.errors import ModelError


@contextmanager
def recomputing(model: nn.Module, wanted: bool, pointer: str) -> Iterator[None]:
    """
    Raises:
        ModelError: the architecture has no blocks to compute again.
    """
    if not wanted:
        yield
        return
    checkpointed: Any = model
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ModelError(
            f"{type(model).__name__} has no blocks whose activations can be computed again.",
            hint="Set gradient_checkpointing to false, or raise the accumulation.",
            pointer=f"{pointer}/gradient_checkpointing",
        )
    checkpointed.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        checkpointed.gradient_checkpointing_disable()
