"""The statistics pass one block at a time: memory holds the model and one block's statistics.

A first pass over the batches, without a graph, leaves on disk what every block is called with, and
the gradient of the loss behind the last block. Then, from the last block to the first, each block's
call is repeated on every batch: backward from the gradient behind it, which gives its statistics
and the gradient behind the block before it. This takes one forward pass more than the whole
model's pass, and gives the same sums up to rounding.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from core.compression.layer_statistics import LayerStatistics, split_half
from core.compression.models.blocks import (
    Call,
    blocks_in,
    run_block,
    stream_in,
    watched_calls,
    with_stream,
)
from core.compression.models.spool import CallSpool, Spool
from core.compression.statistics.fisher_loss import Loss
from core.compression.statistics.statistics_pass import (
    Half,
    Requirements,
    evaluating,
    finite,
    frozen,
    seen,
)
from core.compression.statistics.tokens import Batch, Padding
from core.planning.blocks import Block

BlockStatistics = dict[str, LayerStatistics]


class StreamedPass:
    """A context manager; inside it, `update` with every batch, then take `blocks` once.

    Raises ModelError for layers that do not lie in a list of blocks that are called once each.
    """

    def __init__(self, model: nn.Module, requirements: Requirements, folder: Path):
        self._model = model
        self._requirements = requirements
        self._blocks = blocks_in(model, list(requirements), pointer="/calibration/streamed")
        device = next(model.parameters()).device
        self._streams = [Spool(folder / f"{n}", device) for n in range(len(self._blocks))]
        self._gradients = Spool(folder / "gradients", device)
        self._calls = CallSpool(folder / "calls", device)
        self._paddings: list[Padding] = []

    def __enter__(self) -> "StreamedPass":
        with ExitStack() as stack:
            stack.enter_context(evaluating(self._model))
            stack.enter_context(frozen(self._model))
            self._restore = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore.close()

    def update(self, batch: Batch, loss: Loss) -> None:
        """The whole model forward, and backward as far as its last block."""
        number, calls = len(self._paddings), list[Call]()

        def keep(block: int, stream: Tensor, call: Call) -> None:
            self._streams[block][number] = stream
            calls.append(call)

        last = self._model.get_submodule(self._blocks[-1].name)
        with watched_calls(self._model, self._blocks, keep), leaf_behind(last) as leaf:
            losses = finite(loss(self._model, batch))
            losses.sum().backward()  # type: ignore[no-untyped-call]
        self._gradients[number] = gradient_of(leaf[0])
        self._calls.keep(number, calls)
        self._paddings.append(Padding.of(batch))

    @property
    def block_count(self) -> int:
        return len(self._blocks)

    def blocks(self) -> Iterator[BlockStatistics]:
        """Of all batches, the last block's first; streams that were read are removed."""
        for number in reversed(range(len(self._blocks))):
            yield self._statistics(number, self._blocks[number])
            self._streams[number].remove()

    def _statistics(self, number: int, block: Block) -> BlockStatistics:
        asked = {name: self._requirements[name] for name in block.layers}
        halves = (Half(self._model, asked), Half(self._model, asked))
        module = self._model.get_submodule(block.name)
        for batch in range(len(self._paddings)):
            self._repeat(module, number, batch, halves[batch % 2])
        first, second = (half.statistics() for half in halves)
        return {name: seen(name, split_half(first[name], second[name])) for name in first}

    def _repeat(self, module: nn.Module, number: int, batch: int, half: Half) -> None:
        """One block forward and backward on one batch."""
        stream, call = self._streams[number][batch], self._calls.call(batch, number)
        stream.requires_grad_(half.needs_gradient and number > 0)
        with half.watching(self._paddings[batch]):
            behind = run_block(module, stream, call)
            if behind.requires_grad:
                behind.backward(self._gradients[batch])  # type: ignore[no-untyped-call]
        if stream.requires_grad:
            self._gradients[batch] = gradient_of(stream)


@contextmanager
def leaf_behind(block: nn.Module) -> Iterator[list[Tensor]]:
    """While inside, the graph starts behind the block, at the tensor that the list then holds."""
    leaves: list[Tensor] = []

    def after(_: nn.Module, arguments: Any, output: Any) -> Any:
        leaves.append(stream_in(output).detach().requires_grad_())
        return with_stream(output, leaves[-1])

    hook = block.register_forward_hook(after)
    try:
        yield leaves
    finally:
        hook.remove()


def gradient_of(leaf: Tensor) -> Tensor:
    """Zero where the loss does not depend on it."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
