"""Text classification: single texts or pairs of texts, one label each.

Loss: cross-entropy. Metrics: accuracy, F1 of the second of two labels, Matthews correlation, KL.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.metrics import classification
from core.compression.metrics.metric import Metric, mean
from core.compression.tasks.answers import Answers, count_labels
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples, examples_of, no_labels
from core.compression.tasks.fisher import sampled_labels, two_class_expectation
from core.compression.tasks.kind import Outputs, TaskKind, tempered_divergence
from core.compression.tasks.label_names import (
    label_of,
    names_in_head,
    refuse_single,
    sorted_names,
)
from core.compression.tasks.rows import SourceRow
from core.compression.tasks.texts import read_texts, tokenize_texts
from core.errors import DataError, RecipeError
from core.recipe.task import TextClassification
from core.recipe.training import Adapt, Finetune


class TextClassificationKind(TaskKind[TextClassification]):
    auto_class = TextClassification.auto_class
    trivial_answer = "the best single label for every row"

    def read(self, rows: Iterable[SourceRow]) -> Data:
        config, found = self.config, list(rows)
        columns = read_texts(found, config.text, config.text_pair)
        split_of = np.array([row.split for row in found], dtype=str)
        if self.labels_from_model:
            return Data(columns, split_of)
        assert config.label is not None, "labels come from a column"
        labels = [label_of(row, config.label) for row in found]
        labels = [config.label_map.get(label, label) for label in labels]
        names = sorted_names(labels)
        refuse_single(names)
        number_of = {name: number for number, name in enumerate(names)}
        return Data(columns, split_of, names, np.array([number_of[label] for label in labels]))

    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        encodings = tokenize_texts(data, rows, tokenizer, self.config.max_length)
        if data.labels is None:
            return examples_of(encodings, no_labels(len(rows)), tokenizer)
        labels = torch.from_numpy(data.renumbered(label_names)[rows])
        return examples_of(encodings, labels, tokenizer)

    @property
    def labels_from_model(self) -> bool:
        return self.config.labels == "from_model"

    def relabelled(self, examples: Examples, outputs: Outputs) -> Examples:
        return replace(examples, labels=torch.from_numpy(outputs["logits"].argmax(axis=1)))

    def labels_of_head(self, own: tuple[str, ...], data: Data) -> tuple[str, ...] | None:
        names = own if self.labels_from_model else names_in_head(own, data.label_names)
        if names is None and self.config.label_map:
            raise DataError(
                f"The model's labels are {_listed(own)}; the data's, as label_map calls them, are "
                f"{_listed(data.label_names)}.",
                hint="Map every label of the data to one of the model's.",
                pointer="/task/label_map",
            )
        self._refuse_f1_of_many(names or data.label_names)
        return names

    def _refuse_f1_of_many(self, names: tuple[str, ...]) -> None:
        if self.config.metric == "f1" and len(names) != 2:
            raise RecipeError(
                f"F1 is of the second of two labels, and here are {len(names)}.",
                hint="Set metric to 'accuracy' or 'matthews'.",
                pointer="/task/metric",
            )

    def check(self, adapt: Adapt, finetune: Finetune, *, new_head: bool) -> None:
        if not self.labels_from_model:
            return
        if new_head:
            raise RecipeError(
                "The model has no trained head whose answers could be the labels.",
                hint="Name a fine-tuned classifier, or a column of labels.",
                pointer="/task/labels",
            )
        if adapt == "always":
            raise RecipeError(
                "A model learns nothing from its own answers.",
                hint="Set adapt to 'auto' or 'never'.",
                pointer="/adapt",
            )

    def losses(self, answers: Any, batch: Batch) -> Tensor:
        return F.cross_entropy(answers.logits, batch.labels, reduction="none")

    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        logits = answers.logits
        if logits.shape[1] == 2:
            return two_class_expectation(logits)
        return F.cross_entropy(logits, sampled_labels(logits, generator), reduction="none")

    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        return tempered_divergence(taught.logits, student.logits, temperature)

    @property
    def headline(self) -> str:
        return self.config.metric

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"logits": model(**batch.inputs).logits}

    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        logits, labels = outputs["logits"], np.asarray(examples.labels)
        answers, classes = logits.argmax(axis=1), logits.shape[1]
        found = [mean("accuracy", classification.correct(logits, labels))]
        if classes == 2:
            found.append(classification.f1_of_second(answers, labels))
        found.append(classification.matthews(answers, labels, classes))
        found.sort(key=lambda metric: metric.name != self.headline)
        found.append(mean("loss", classification.losses(logits, labels)))
        if dense is not None:
            found.append(mean("kl", classification.divergences(dense["logits"], logits)))
        return tuple(found)

    def answers(
        self, outputs: Outputs, examples: Examples, label_names: tuple[str, ...]
    ) -> Answers:
        logits = outputs["logits"]
        best, labels = logits.argmax(axis=1), np.asarray(examples.labels)
        given, true = ([label_names[n] for n in numbers] for numbers in (best, labels))
        return Answers(
            given=given,
            true=true,
            errors=(best != labels).astype(np.float64),
            error_unit="label",
            confidence=np.exp(classification.log_softmax(logits).max(axis=1)),
            labels=count_labels(label_names, true, given),
        )

    def baseline(self, examples: Examples) -> float:
        classes = max(2, int(examples.labels.max()) + 1)  # type: ignore[union-attr]
        constants = (np.tile(row, (len(examples), 1)) for row in np.eye(classes))
        return max(self.metrics({"logits": c}, examples, None)[0].value for c in constants)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names[:20]))
