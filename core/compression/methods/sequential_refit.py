"""Sequential refit: blocks from first to last, each layer fitted to the inputs that it will get.

Two residual streams go through the model side by side: the dense model's, and the compressed one's.
At every block the inputs of its layers are seen in both, each layer is solved for (see
`factorization.refit`) and replaced, and both streams pass on. They lie on disk, one batch in
memory at a time.

`block`: all layers of a block are solved from one look at the block as it was dense, behind a
compressed prefix. `layer`: layers with the same input (query, key and value) are solved together,
and the next ones look through what was replaced before them in the same block.
"""

from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor, nn

from core.compression.models.blocks import Call, blocks_in, run_block, watched_calls
from core.compression.models.layers import (
    linear_layer,
    replace_layer,
    replace_layers,
    replaced_layers,
)
from core.compression.models.spool import CallSpool, Spool
from core.compression.progress import Progress
from core.compression.shifted_moments import ShiftedMoments
from core.compression.statistics.statistics_pass import evaluating
from core.compression.statistics.tokens import Padding, Tokens
from core.compression.tasks.batches import Batch
from core.errors import ModelError
from core.planning.blocks import Block
from core.recipe.refit import Granularity


@dataclass(frozen=True)
class Target:
    """One layer that is to be solved for."""

    name: str
    layer: nn.Linear
    moments: ShiftedMoments


Solve: TypeAlias = Callable[[Target], nn.Module]
"""What replaces the layer."""


@dataclass
class Streams:
    """Where all batches stand: before one block, in the dense and in the compressed model."""

    calls: CallSpool
    dense: Spool
    ahead: Spool
    """The dense model's stream behind the block."""
    shifted: Spool
    paddings: list[Padding] = field(default_factory=list)

    @classmethod
    def under(cls, folder: Path, device: torch.device) -> "Streams":
        dense, ahead, shifted = (Spool(folder / n, device) for n in ("dense", "ahead", "shifted"))
        return cls(CallSpool(folder / "calls", device), dense, ahead, shifted)

    def move_on(self) -> None:
        self.dense, self.ahead = self.ahead, self.dense


@torch.no_grad()
def refit_sequentially(
    model: nn.Module,
    layers: Sequence[str],
    replaced: Collection[str],
    batches: Iterable[Batch],
    solve: Solve,
    granularity: Granularity,
    folder: Path,
    ahead: Mapping[str, nn.Module] = MappingProxyType({}),
) -> Generator[Progress, None, None]:
    """Replace some of the model's target layers in place; the folder holds the streams.

    `ahead` are layers outside the blocks that take the place of the model's own in the compressed
    one, whose stream begins with them.

    Raises:
        ModelError: the layers do not lie in a list of blocks that are called once each.
    """
    blocks = blocks_in(model, layers, pointer="/refit")
    with evaluating(model):
        streams = begin(model, blocks, batches, folder, ahead)
        replace_layers(model, ahead)
        for number, block in enumerate(blocks):
            some = [name for name in block.layers if name in replaced]
            pair = Pair(model, Block(block.name, tuple(some)), number, streams)
            refit_block(pair, solve, granularity)
            yield Progress(number + 1, len(blocks), "block")


def begin(
    model: nn.Module,
    blocks: Sequence[Block],
    batches: Iterable[Batch],
    folder: Path,
    ahead: Mapping[str, nn.Module],
) -> Streams:
    """Both streams before the first block: the same, where nothing is replaced ahead of it."""
    streams = Streams.under(folder, next(model.parameters()).device)
    for number, batch in enumerate(batches):
        calls: list[Call] = []

        def keep(
            block: int, stream: Tensor, call: Call, calls: list[Call] = calls, number: int = number
        ) -> None:
            calls.append(call)
            if block == 0:
                streams.dense[number] = streams.shifted[number] = stream

        with watched_calls(model, blocks, keep):
            model.base_model(**batch.inputs)  # type: ignore[operator]
        if ahead:
            with replaced_layers(model, ahead):
                streams.shifted[number] = stream_before(model, blocks[0], batch)
        streams.calls.keep(number, calls)
        streams.paddings.append(Padding.of(batch.inputs))
    return streams


def stream_before(model: nn.Module, first: Block, batch: Batch) -> Tensor:
    """Before the model's first block; what follows is left out."""
    found: list[Tensor] = []

    def see(block: int, stream: Tensor, call: Call) -> None:
        found.append(stream)
        raise EverythingSeen

    with watched_calls(model, [first], see), suppress(EverythingSeen):
        model.base_model(**batch.inputs)  # type: ignore[operator]
    return found[0]


Group: TypeAlias = list[str]
"""Layers that are called with the same tensor."""


class Pair:
    """One block in both models, and the layers that are to be replaced in it."""

    def __init__(self, model: nn.Module, block: Block, number: int, streams: Streams):
        self.block = block
        self.shifted = model.get_submodule(block.name)
        self.dense = deepcopy(self.shifted)
        self.number = number
        self.streams = streams

    def layers_by_input(self) -> list[Group]:
        """In the order in which the first batch reaches them."""
        names = [name.removeprefix(f"{self.block.name}.") for name in self.block.layers]
        groups: list[tuple[Tensor, Group]] = []

        def see(name: str, x: Tensor) -> None:
            if not any(seen is x for seen, _ in groups):
                groups.append((x, []))
            next(group for seen, group in groups if seen is x).append(name)

        with shown_inputs(self.dense, names, see):
            self._run(self.dense, self.streams.dense, 0)
        found = [group for _, group in groups]
        refuse_other_calls(names, [name for group in found for name in group])
        return found

    def moments(self, groups: Sequence[Group], to_the_end: bool) -> list[ShiftedMoments]:
        """Of each group's inputs over all batches; `to_the_end` gives the dense stream behind the
        block on the way."""
        sums = {group[0]: self._zeros(group[0]) for group in groups}
        for batch, padding in enumerate(self.streams.paddings):
            dense = self._dense_inputs(batch, sums, to_the_end)
            shifted = self._inputs(self.shifted, self.streams.shifted, batch, sums)
            for name, total in sums.items():
                total.see(*(Tokens(x.pop(name), padding).rows for x in (dense, shifted)))
        return list(sums.values())

    def pass_on(self) -> None:
        for batch in range(len(self.streams.paddings)):
            self.streams.shifted[batch] = self._run(self.shifted, self.streams.shifted, batch)
        self.streams.move_on()

    def _zeros(self, name: str) -> ShiftedMoments:
        layer = linear_layer(self.dense, name)
        return ShiftedMoments.zeros(layer.in_features, layer.weight.device)

    def _dense_inputs(
        self, batch: int, names: Collection[str], to_the_end: bool
    ) -> dict[str, Tensor]:
        if not to_the_end:
            return self._inputs(self.dense, self.streams.dense, batch, names)
        inputs: dict[str, Tensor] = {}
        with shown_inputs(self.dense, names, inputs.__setitem__):
            self.streams.ahead[batch] = self._run(self.dense, self.streams.dense, batch)
        return inputs

    def _inputs(
        self, module: nn.Module, stream: Spool, batch: int, names: Collection[str]
    ) -> dict[str, Tensor]:
        """The block is left as soon as all are seen."""
        inputs: dict[str, Tensor] = {}

        def see(name: str, x: Tensor) -> None:
            inputs[name] = x
            if len(inputs) == len(names):
                raise EverythingSeen

        if names:
            with shown_inputs(module, names, see), suppress(EverythingSeen):
                self._run(module, stream, batch)
        return inputs

    def _run(self, module: nn.Module, stream: Spool, batch: int) -> Tensor:
        return run_block(module, stream[batch], self.streams.calls.call(batch, self.number))


class EverythingSeen(Exception):
    """No error: the rest of the block has nothing to show."""


def refit_block(pair: Pair, solve: Solve, granularity: Granularity) -> None:
    groups = pair.layers_by_input()
    at_once = granularity == "block" or not groups
    looks = [groups] if at_once else [[group] for group in groups]
    for look in looks:
        found = pair.moments(look, to_the_end=look is looks[-1])
        for names, moments in zip(look, found, strict=True):
            for name in names:
                layer = linear_layer(pair.shifted, name)
                target = Target(f"{pair.block.name}.{name}", layer, moments)
                replace_layer(pair.shifted, name, solve(target))
    pair.pass_on()


@contextmanager
def shown_inputs(
    module: nn.Module, names: Iterable[str], see: Callable[[str, Tensor], object]
) -> Iterator[None]:
    with ExitStack() as hooks:
        for name in names:

            def before(_: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                see(name, args[0])

            hook = linear_layer(module, name).register_forward_pre_hook(before)
            hooks.callback(hook.remove)
        yield


def refuse_other_calls(names: Sequence[str], called: Sequence[str]) -> None:
    """
    Raises:
        ModelError: one of the layers is not called exactly once.
    """
    wrong = sorted(name for name in names if called.count(name) != 1)
    if wrong:
        raise ModelError(
            f"{wrong[0]} is not called exactly once by its block.",
            hint="Set refit to 'none'.",
            pointer="/refit",
        )
