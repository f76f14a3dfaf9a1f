"""Regression: single texts or pairs of texts, one number each.

Loss: squared error. Metrics: Pearson and Spearman correlation, mean squared error.
"""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.compression.metrics.correlation import pearson, spearman
from core.compression.metrics.metric import Metric, mean
from core.compression.tasks.answers import Answers
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples, examples_of
from core.compression.tasks.kind import Outputs, TaskKind
from core.compression.tasks.rows import SourceRow
from core.compression.tasks.texts import read_texts, tokenize_texts
from core.errors import DataError
from core.recipe.task import TextRegression


class RegressionKind(TaskKind[TextRegression]):
    auto_class = TextRegression.auto_class
    trivial_answer = "the same number for every row"
    loss_metric = "mse"

    def read(self, rows: Iterable[SourceRow]) -> Data:
        config, found = self.config, list(rows)
        columns = read_texts(found, config.text, config.text_pair)
        columns["label"] = [_number(row, config.label) for row in found]
        if len(set(columns["label"])) < 2:
            raise DataError(
                f"Every row has the number {columns['label'][0]:g}; there is nothing to learn.",
                pointer="/task/label",
            )
        return Data(columns, np.array([row.split for row in found], dtype=str), ("LABEL_0",))

    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        encodings = tokenize_texts(data, rows, tokenizer, self.config.max_length)
        numbers = torch.tensor(data.of("label", rows), dtype=torch.float64)
        return examples_of(encodings, numbers, tokenizer)

    def losses(self, answers: Any, batch: Batch) -> Tensor:
        numbers: Tensor = answers.logits.squeeze(-1)
        return (numbers - batch.labels.to(numbers.dtype)).square()

    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        """√2 f(x): nothing is left to sample.

        Squared error is −log p, up to a constant, of a Gaussian of variance ½ around f, whose
        Fisher information is 2 ∇f ∇fᵀ, the squared gradient of √2 f.
        """
        scaled: Tensor = 2**0.5 * answers.logits.squeeze(-1)
        return scaled

    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        """Squared, whatever the temperature: numbers have none."""
        squared: Tensor = (taught.logits - student.logits).squeeze(-1).square()
        return squared

    @property
    def headline(self) -> str:
        return "pearson"

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"numbers": model(**batch.inputs).logits.squeeze(-1)}

    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        answers, numbers = outputs["numbers"], np.asarray(examples.labels)
        return (
            pearson(answers, numbers),
            spearman(answers, numbers),
            mean("mse", (answers - numbers) ** 2),
        )

    def answers(
        self, outputs: Outputs, examples: Examples, label_names: tuple[str, ...]
    ) -> Answers:
        answers, numbers = outputs["numbers"], np.asarray(examples.labels)
        given, true = ([f"{number:.3g}" for number in side] for side in (answers, numbers))
        return Answers(given, true, np.abs(answers - numbers), "difference")

    def baseline(self, examples: Examples) -> float:
        """A constant correlates with nothing."""
        return 0.0


def _number(row: SourceRow, column: str) -> float:
    value = row.cell(column, "label")
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number):
        row.refuse("label", f"{value!r} in {column!r} is not a finite number"[:200])
    return number
