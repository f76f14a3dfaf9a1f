"""One pass over calibration batches that collects every layer's statistics at once.

The model runs in eval mode with all parameters frozen: only activations carry a gradient, from the
first target layers on, which spares the third of the pass that weight gradients cost. One backward
pass of the SUM of the examples' own losses gives every example its own δ.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType

import torch
from torch import Tensor, nn

from core.compression.layer_statistics import LayerStatistics, split_half
from core.compression.models.factorized import is_embedding, tied_heads, token_embedding
from core.compression.models.layers import layer_at
from core.compression.statistics.embedding_estimator import EmbeddingEstimator
from core.compression.statistics.fisher_loss import Loss
from core.compression.statistics.layer_estimator import LayerEstimator
from core.compression.statistics.observation import Observation
from core.compression.statistics.tokens import Batch, Padding
from core.errors import ModelError, NumericalError
from core.planning.families import FAMILIES
from core.recipe.statistics import Statistic

Requirements = Mapping[str, frozenset[Statistic]]
"""What each target layer, by module name, is asked for."""


class StatisticsPass:
    """A context manager; inside it, `update` with every batch, then take `statistics`.

    Batches alternate between two halves, whose agreement is each statistic's reliability. A batch
    maps names to tensors [batch, ...] on the model's device; an `attention_mask` [batch, length]
    says which positions count. Target inputs may be [batch, length, in] or [batch, in]. A target
    may be the token embedding: it is asked for statistics of its transposed table [dim, vocab].

    A linear layer may be called several times in one forward pass.

    Raises ModelError for a target that is neither, or is never called, or an embedding that is
    called twice in a forward pass; NumericalError where a loss or a sum is not finite.
    """

    def __init__(self, model: nn.Module, requirements: Requirements):
        self._model = model
        self._halves = (Half(model, requirements), Half(model, requirements))
        self._batches = 0

    def __enter__(self) -> "StatisticsPass":
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
        """A forward and a backward pass; `loss` calls the model and gives every example's own
        loss, [batch]."""
        self._halves[self._batches % 2].update(self._model, batch, loss)
        self._batches += 1

    def statistics(self) -> dict[str, LayerStatistics]:
        """Of all batches so far."""
        first, second = (half.statistics() for half in self._halves)
        found = {name: split_half(first[name], second[name]) for name in first}
        return {name: seen(name, layer) for name, layer in (found | self._embeddings()).items()}

    def _embeddings(self) -> dict[str, LayerStatistics]:
        """Of both halves' sums together, since what is made of them is not linear."""
        one, other = self._halves
        pairs = zip(one.embeddings, other.embeddings, strict=True)
        return {
            a.name: of_both(a.statistics(one.examples), b.statistics(other.examples), a + b)
            for a, b in pairs
        }


class Half:
    """Every second batch."""

    def __init__(self, model: nn.Module, requirements: Requirements):
        self.examples = 0
        looked_up = {name for name in requirements if is_embedding(model, name)}
        self.estimators = [
            LayerEstimator(name, layer_at(model, name), asked)
            for name, asked in requirements.items()
            if name not in looked_up
        ]
        self.embeddings = [
            EmbeddingEstimator(
                name, token_embedding(model, name), tied_heads(model, name), requirements[name]
            )
            for name in requirements
            if name in looked_up
        ]
        self.needs_gradient = (
            shares_positions(model)
            or any(estimator.needs_gradient for estimator in self.estimators)
            or any(embedding.needs_gradient for embedding in self.embeddings)
        )

    @contextmanager
    def watching(self, padding: Padding) -> Iterator[None]:
        """While inside, the estimators see one batch."""
        self.examples += padding.examples
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(self.needs_gradient))
            stack.enter_context(Observation(self.estimators, padding))
            for embedding in self.embeddings:
                stack.enter_context(embedding.observing(padding))
            yield

    def update(self, model: nn.Module, batch: Batch, loss: Loss) -> None:
        with self.watching(Padding.of(batch)):
            losses = finite(loss(model, batch))
            if losses.requires_grad:
                losses.sum().backward()  # type: ignore[no-untyped-call]

    def statistics(self) -> dict[str, LayerStatistics]:
        return {layer.name: layer.statistics(self.examples) for layer in self.estimators}


def of_both(
    first: LayerStatistics, second: LayerStatistics, both: EmbeddingEstimator
) -> LayerStatistics:
    """An embedding's, with how well its halves agree."""
    total = both.statistics(first.examples + second.examples)
    total.reliability.update(split_half(first, second).reliability)
    return total


def shares_positions(model: nn.Module) -> bool:
    """What its targets read can only be told with gradients: see `shared_calls`."""
    config: object = getattr(model, "config", None)
    family = FAMILIES.get(getattr(config, "model_type", ""))
    return family is not None and family.shares_positions


def finite(losses: Tensor) -> Tensor:
    if not torch.isfinite(losses).all():
        raise NumericalError(
            "a calibration example's loss is not finite",
            hint="Check the model on its own data; half precision may overflow.",
        )
    return losses


def seen(name: str, layer: LayerStatistics) -> LayerStatistics:
    if layer.tokens == 0:
        raise ModelError(f"{name} was not used by any calibration example")
    return layer


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient; afterwards those that did do so again."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
