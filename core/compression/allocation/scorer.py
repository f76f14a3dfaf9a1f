"""Scores a model, and what becomes of it when layers are replaced, on the same validation rows."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from core.compression.evaluation.predictions import predict
from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.targets import replacement
from core.compression.metrics.metric import Metric
from core.compression.models.factorized import Layers
from core.compression.models.layers import replaced_layers
from core.compression.progress import Progress
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import Outputs, TaskKind
from core.planning.plan import Ranks


@dataclass(frozen=True)
class Measured:
    metrics: dict[str, Metric]
    """By name, the headline first."""
    loss: float
    """Of the mean example; the task's loss metric where it has no labels."""


class Scorer:
    """The dense model answers once; every other score is held against its answers."""

    def __init__(
        self,
        model: nn.Module,
        task: TaskKind[Any],
        examples: Examples,
        batch_size: int,
        device: str = "cpu",
    ):
        self.model, self.examples = model.eval(), examples
        self._task, self._batch_size, self._device = task, batch_size, device
        self._answers: Outputs | None = None

    def dense(self) -> Generator[Progress, None, Measured]:
        if self._answers is None:
            self._answers = yield from self._predict()
        return self._measured(self._answers, None)

    def replaced(self, layers: Mapping[str, nn.Module]) -> Generator[Progress, None, Measured]:
        """The model with these layers, by name, in place of its own; it is left as it was."""
        yield from self.dense()
        with replaced_layers(self.model, layers):
            outputs = yield from self._predict()
        return self._measured(outputs, self._answers)

    def _predict(self) -> Generator[Progress, None, Outputs]:
        return (
            yield from predict(
                self.model,
                self._task,
                self.examples,
                self._batch_size,
                self._device,
                "validation row",
            )
        )

    def _measured(self, outputs: Outputs, dense: Outputs | None) -> Measured:
        metrics = {m.name: m for m in self._task.metrics(outputs, self.examples, dense)}
        unit = self._task.loss_unit(self.examples) or 1.0
        return Measured(metrics, unit * metrics[self._task.loss_metric].value)


def layers_of_ranks(
    model: nn.Module, decompositions: Mapping[str, Decomposition], ranks: Ranks
) -> Layers:
    """Cut from decompositions; what stays dense is left out."""
    layers: Layers = {}
    for name, rank in ranks.items():
        if rank is not None:
            found = decompositions[name]
            layers |= replacement(model, name, found, found.truncate(rank))
    return layers
