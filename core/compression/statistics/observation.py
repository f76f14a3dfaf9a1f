"""Hooks on the target layers for the length of one batch: they show each estimator what it needs.

Neither weights nor model inputs need a gradient for this. Where none reaches a layer, the graph
starts at its output (or at its input, if the layer's input gradient is asked for). A layer's input
is let go as soon as its output gradient was seen, so that the backward pass reuses its memory.

A layer may be called several times in one forward pass (ALBERT's blocks): an example's tokens are
then those of all calls, and its gradient at W is the sum over them, so that what is quadratic in
that gradient waits for the last of them. It may also be called once for all examples (DeBERTa's
relative positions): see `shared_calls`.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from torch import Tensor, nn

from core.compression.statistics.layer_estimator import LayerEstimator
from core.compression.statistics.shared_calls import shared_output
from core.compression.statistics.tokens import Padding, Tokens, joined


@dataclass
class Call:
    """One call of a layer: its input, and its output gradient once that is known."""

    x: Tokens | None
    delta: Tokens | None = None


class Observation:
    """A context manager around one batch's forward and backward pass.

    Raises ModelError for a layer whose positions do not fit the mask.
    """

    def __init__(self, estimators: Iterable[LayerEstimator], padding: Padding):
        self._padding = padding
        self._estimators = list(estimators)
        self._distinct: dict[int, Tokens] = {}
        self._kept: list[Tensor] = []
        """So that no two of this batch's inputs have the same id."""
        self._calls: defaultdict[str, list[Call]] = defaultdict(list)

    def __enter__(self) -> "Observation":
        with ExitStack() as hooks:
            for estimator in self._estimators:
                self._watch(estimator, hooks)
            self._hooks = hooks.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.close()
        self._forget_identities()
        if error is None:
            self._add_what_waits()
        self._calls.clear()

    def _watch(self, estimator: LayerEstimator, hooks: ExitStack) -> None:
        def before(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            if self._padding.is_shared(args[0]):
                return None
            return (self._see_input(estimator, args[0]), *args[1:])

        def after(layer: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
            if self._padding.is_shared(args[0]):
                return self._see_shared(estimator, args[0], y)
            return self._see_output(estimator, y)

        hooks.callback(estimator.layer.register_forward_pre_hook(before).remove)
        hooks.callback(estimator.layer.register_forward_hook(after).remove)

    def _see_input(self, estimator: LayerEstimator, x: Tensor) -> Tensor:
        tokens = self._input_tokens(x)
        self._calls[estimator.name].append(Call(tokens))
        estimator.see_input(tokens)
        if not estimator.needs_input_gradient:
            return x
        own = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        padding = self._padding
        own.register_hook(lambda g: estimator.see_input_gradient(Tokens(g, padding)))  # type: ignore[no-untyped-call]
        return own

    def _see_output(self, estimator: LayerEstimator, y: Tensor) -> Tensor:
        call = self._calls[estimator.name][-1]
        estimator.see_output(Tokens(y, self._padding))
        if not estimator.needs_gradient:
            call.x = None
            return y
        watched = differentiable(y)
        watched.register_hook(  # type: ignore[no-untyped-call]
            lambda d: self._see_output_gradient(estimator, call, Tokens(d, self._padding))
        )
        return watched

    def _see_shared(self, estimator: LayerEstimator, x: Tensor, y: Tensor) -> Tensor:
        """Which of its rows are whose tokens, only the gradients tell."""
        call = Call(None)
        self._calls[estimator.name].append(call)
        values, outputs = x.detach(), y.detach()

        def seen(own: Tensor) -> None:
            used = Padding(len(own), (own != 0).any(-1))
            call.x = Tokens(values.expand(len(own), -1, -1), used)
            estimator.see_input(call.x)
            estimator.see_output(Tokens(outputs.expand(len(own), -1, -1), used))
            if estimator.needs_input_gradient:
                weight = estimator.linear.weight.detach()
                estimator.see_input_gradient(Tokens(own @ weight, used))
            if estimator.needs_gradient:
                self._see_output_gradient(estimator, call, Tokens(own, used))

        return shared_output(estimator.name, differentiable(y), seen)

    def _see_output_gradient(self, estimator: LayerEstimator, call: Call, delta: Tokens) -> None:
        self._forget_identities()
        estimator.see_output_gradient(delta)
        if not estimator.needs_example_gradients:
            call.x = None
            return
        call.delta = delta
        if all(each.delta is not None for each in self._calls[estimator.name]):
            self._add_example_gradients(estimator)

    def _add_what_waits(self) -> None:
        """Where the loss does not depend on some call, its gradient never came."""
        for estimator in self._estimators:
            self._add_example_gradients(estimator)

    def _add_example_gradients(self, estimator: LayerEstimator) -> None:
        calls = self._calls.pop(estimator.name, [])
        pairs = [(c.x, c.delta) for c in calls if c.x is not None and c.delta is not None]
        if pairs:
            xs, deltas = zip(*pairs, strict=True)
            estimator.see_example_gradients(joined(xs), joined(deltas))

    def _forget_identities(self) -> None:
        """The forward pass is over."""
        self._distinct.clear()
        self._kept.clear()

    def _input_tokens(self, x: Tensor) -> Tokens:
        """The same object for layers that are called with the same tensor."""
        if id(x) not in self._distinct:
            self._distinct[id(x)] = Tokens(x, self._padding)
            self._kept.append(x)
        return self._distinct[id(x)]


def differentiable(y: Tensor) -> Tensor:
    return y if y.requires_grad else y.detach().requires_grad_().clone()
