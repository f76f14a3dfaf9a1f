"""What a task must say of itself. One file of this folder is one task; the stages know no other.

rows -> read -> Data -> tokenize -> Examples -> batches -> losses, outputs -> metrics
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.metrics.metric import Metric
from core.compression.tasks.answers import Answers
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples
from core.compression.tasks.rows import SourceRow
from core.recipe.statistics import FisherKind
from core.recipe.task import DataTask
from core.recipe.training import Adapt, DistillationConfig, Finetune

Outputs = Mapping[str, NDArray[np.float64]]
"""What is kept of a model's answers to one split, by name: [examples, …]."""

C = TypeVar("C", bound=DataTask)


class TaskKind(ABC, Generic[C]):
    """One task as its recipe configures it."""

    auto_class: ClassVar[str]
    """The recipe's."""
    tokenizer_options: ClassVar[Mapping[str, Any]] = {}
    """How the tokenizer must be read, where its own way does not do."""
    trivial_answer: ClassVar[str]
    """In words, the answer that `baseline` is the headline metric of."""
    smallest_batch: ClassVar[int] = 1
    """An example's Fisher loss reads so many examples of its batch."""
    compares_with_dense: ClassVar[bool] = False
    """Metrics hold a model against the dense one, instead of against labels."""
    loss_metric: ClassVar[str] = "loss"
    """The metric that decides between equals of the headline."""

    def __init__(self, config: C):
        self.config = config

    # Data

    @abstractmethod
    def read(self, rows: Iterable[SourceRow]) -> Data:
        """Check the rows of a dataset.

        Raises:
            DataError: a column or a value is missing or of no use here; the pointer names the
                recipe's field, the message the row.
        """

    @abstractmethod
    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        """These rows in their order, labels numbered as `label_names`.

        Raises:
            ModelError: the tokenizer cannot do what this task needs.
        """

    @property
    def labels_from_model(self) -> bool:
        """The dense model's own outputs are the labels, by `relabelled`."""
        return False

    def relabelled(self, examples: Examples, outputs: Outputs) -> Examples:
        """The same examples with the model's own answers as their labels."""
        raise NotImplementedError

    # Head

    def labels_of_head(self, own: tuple[str, ...], data: Data) -> tuple[str, ...] | None:
        """What the labels of a checkpoint's head `own` are called in the data, by number.

        None if it answers others: the head is then new, with the data's labels.
        """
        return data.label_names

    def check(self, adapt: Adapt, finetune: Finetune, *, new_head: bool) -> None:
        """
        Raises:
            RecipeError: this task has no use for what the recipe asks.
        """

    # Losses

    @abstractmethod
    def losses(self, answers: Any, batch: Batch) -> Tensor:
        """The loss of each example, from the model's answers: [b].

        Of a task on tokens, the sum over the example's scored tokens.
        """

    def scored(self, batch: Batch) -> Tensor:
        """How many losses each example's sums up, at least 1: [b]."""
        return torch.ones(len(batch), device=batch.mask.device)

    def training_losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Each example's mean loss: [b]."""
        return self.losses(model(**batch.inputs), batch) / self.scored(batch)

    @abstractmethod
    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        """Per-example losses [b] whose squared gradients are, in expectation, the Fisher
        information of the model's own output distribution."""

    def fisher_losses(
        self, model: nn.Module, batch: Batch, kind: FisherKind, generator: torch.Generator
    ) -> Tensor:
        """`empirical`: at the true labels; `true`: in expectation over the model's output: [b]."""
        answers = model(**batch.inputs)
        if kind == "empirical":
            return self.losses(answers, batch)
        return self.sampled_losses(answers, batch, generator)

    def distillation_losses(
        self, taught: Any, student: Any, batch: Batch, config: DistillationConfig
    ) -> Tensor:
        """w_task · mean loss + w_logits · mean distance to the dense model's answers: [b]."""
        distances = self.distances(taught, student, batch, config.temperature)
        task = config.task_weight * self.losses(student, batch) / self.scored(batch)
        return task + config.logits_weight * distances / self.scored(batch)

    @abstractmethod
    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        """How far the student's answers are from the dense model's, summed as losses are: [b]."""

    # Evaluation

    @property
    @abstractmethod
    def headline(self) -> str:
        """The metric that is reported first, and that choices are made by."""

    @abstractmethod
    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What metrics need of the model's answers, [b, …]; zeros fill up shorter batches."""

    @abstractmethod
    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        """The headline metric first, each over the same rows.

        `dense` are the dense model's outputs, where `outputs` are another's.
        """

    def answers(
        self, outputs: Outputs, examples: Examples, label_names: tuple[str, ...]
    ) -> Answers | None:
        """Each row's answer in words; None where a row has no one answer."""
        return None

    def shown(self, data: Data, rows: NDArray[np.int64]) -> list[tuple[str, ...]]:
        """What these rows ask of a model, in words: one text, or two."""
        texts = [data.of(name, rows) for name in ("text", "text_pair") if name in data.columns]
        return list(zip(*texts, strict=True))

    def loss_unit(self, examples: Examples) -> float | None:
        """What `loss_metric` is to be multiplied by to be the mean loss of one example, as
        statistics count it; None where it is no loss of theirs."""
        return 1.0

    def baseline(self, examples: Examples) -> float | None:
        """The headline metric of the best answer that looks at no input; None where there is no
        such thing."""
        return None


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(softmax(reference) ‖ softmax(logits)): [..., classes] twice -> [...]."""
    return F.kl_div(
        logits.log_softmax(-1), reference.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)


def tempered_divergence(reference: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """T² KL of both answers at temperature T, whose gradients do not shrink with T."""
    return temperature**2 * divergence(reference / temperature, logits / temperature)
