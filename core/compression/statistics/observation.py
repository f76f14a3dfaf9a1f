"""Hooks on the target layers for the length of one batch: they show each estimator what it needs.

Neither weights nor model inputs need a gradient for this. Where none reaches a layer, the graph
starts at its output (or at its input, if the layer's input gradient is asked for). A layer's input
is let go as soon as its output gradient was seen, so that the backward pass reuses its memory.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType

from torch import Tensor, nn

from core.compression.statistics.layer_estimator import LayerEstimator
from core.compression.statistics.tokens import Padding, Tokens
from core.errors import ModelError


class Observation:
    """A context manager around one batch's forward and backward pass.

    Raises ModelError for a layer that is called twice, or whose positions do not fit the mask.
    """

    def __init__(self, estimators: Iterable[LayerEstimator], padding: Padding):
        self._padding = padding
        self._estimators = list(estimators)
        self._distinct: dict[int, Tokens] = {}
        self._kept: list[Tensor] = []
        """So that no two of this batch's inputs have the same id."""
        self._inputs: dict[str, Tokens] = {}
        self._called: set[str] = set()

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
        self._inputs.clear()
        self._called.clear()

    def _watch(self, estimator: LayerEstimator, hooks: ExitStack) -> None:
        def before(linear: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (self._see_input(estimator, args[0]), *args[1:])

        def after(linear: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
            return self._see_output(estimator, y)

        hooks.callback(estimator.linear.register_forward_pre_hook(before).remove)
        hooks.callback(estimator.linear.register_forward_hook(after).remove)

    def _see_input(self, estimator: LayerEstimator, x: Tensor) -> Tensor:
        if estimator.name in self._called:
            raise ModelError(f"{estimator.name} is called more than once in a forward pass")
        self._called.add(estimator.name)
        self._inputs[estimator.name] = self._input_tokens(x)
        estimator.see_input(self._inputs[estimator.name])
        if not estimator.needs_input_gradient:
            return x
        own = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        padding = self._padding
        own.register_hook(lambda g: estimator.see_input_gradient(Tokens(g, padding)))  # type: ignore[no-untyped-call]
        return own

    def _see_output(self, estimator: LayerEstimator, y: Tensor) -> Tensor:
        estimator.see_output(Tokens(y, self._padding))
        if not estimator.needs_gradient:
            del self._inputs[estimator.name]
            return y
        watched = y if y.requires_grad else y.detach().requires_grad_().clone()
        watched.register_hook(lambda d: self._see_output_gradient(estimator, d))  # type: ignore[no-untyped-call]
        return watched

    def _see_output_gradient(self, estimator: LayerEstimator, delta: Tensor) -> None:
        self._forget_identities()
        x = self._inputs.pop(estimator.name)
        estimator.see_output_gradient(x, Tokens(delta, self._padding))

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
