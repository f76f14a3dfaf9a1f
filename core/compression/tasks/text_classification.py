"""Text classification: single texts or pairs of texts, one label each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.compression.tasks.splits import SPLITS, Splits, split_rows
from core.errors import DataError
from core.recipe.task import TextClassification


@dataclass(frozen=True)
class LabelledTexts:
    """The rows of a dataset, checked: `labels[i]` is the number in `label_names` of row i."""

    texts: list[str]
    pairs: list[str] | None
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]

    def split(self, config: TextClassification) -> Splits:
        return split_rows(self.labels, self.label_names, config.splits)

    def majority_rate(self, rows: NDArray[np.int64]) -> float:
        """Accuracy on these rows of always answering the most frequent label."""
        return float(np.bincount(self.labels[rows]).max() / len(rows))

    def renumbered(self, label_names: tuple[str, ...]) -> "LabelledTexts":
        """The same rows with labels numbered as a model does; its names include all of ours."""
        numbers = np.array([label_names.index(name) for name in self.label_names])
        return LabelledTexts(self.texts, self.pairs, numbers[self.labels], label_names)


@dataclass(frozen=True)
class Examples:
    """One split, tokenized. Nothing is padded yet: batches pad to their own longest row."""

    encodings: dict[str, list[list[int]]]
    """input_ids, attention_mask and what else the tokenizer gives, one list per row."""
    labels: Tensor
    """[n], int64."""
    lengths: NDArray[np.int64]
    """[n], tokens per row."""
    padding: dict[str, int]
    """What each encoding is padded with."""

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, rows: int | None) -> "Examples":
        """The first rows of the split's order."""
        return self if rows is None else self.select(np.arange(min(rows, len(self))))

    def select(self, rows: NDArray[np.int64]) -> "Examples":
        return Examples(
            {name: [column[row] for row in rows] for name, column in self.encodings.items()},
            self.labels[torch.from_numpy(rows)],
            self.lengths[rows],
            self.padding,
        )


def read_texts(rows: Iterable[Mapping[str, Any]], config: TextClassification) -> LabelledTexts:
    """Check the rows of a dataset and number its labels, in sorted order.

    Raises:
        DataError: a column or a value is missing, a label is neither a string nor an integer, or
            there is only one label. The pointer names the recipe's field.
    """
    texts, pairs, labels = [], [], []
    for number, row in enumerate(rows, start=1):
        texts.append(_text(row, config.text, "/task/text", number))
        if config.text_pair is not None:
            pairs.append(_text(row, config.text_pair, "/task/text_pair", number))
        labels.append(_label(row, config.label, number))
    names = tuple(sorted(set(labels), key=_label_order))
    if len(names) < 2:
        found = f"only the label {names[0]!r}" if names else "no rows"
        raise DataError(
            f"The dataset holds {found}; a classifier needs two labels or more.",
            pointer="/task/label" if names else "/task/dataset",
        )
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.array([number_of[label] for label in labels])
    return LabelledTexts(texts, pairs if config.text_pair is not None else None, numbers, names)


def names_in_head(own: tuple[str, ...], ours: tuple[str, ...]) -> tuple[str, ...] | None:
    """How a head's labels are called in the data, by number; None if they are others.

    Either all labels of the data are among the head's own names, or the head's are the anonymous
    LABEL_0, LABEL_1, … and the data's are such numbers.
    """
    if set(ours) <= set(own):
        return own
    numbers = tuple(str(number) for number in range(len(own)))
    anonymous = own == tuple(f"LABEL_{number}" for number in numbers)
    return numbers if anonymous and set(ours) <= set(numbers) else None


def _text(row: Mapping[str, Any], column: str, pointer: str, number: int) -> str:
    value = _cell(row, column, pointer, number)
    if not isinstance(value, str):
        raise DataError(f"Row {number}: {column!r} is not a text.", pointer=pointer)
    return value


def _label(row: Mapping[str, Any], column: str, number: int) -> str:
    value = _cell(row, column, "/task/label", number)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(
            f"Row {number}: the label in {column!r} is neither a string nor an integer.",
            pointer="/task/label",
        )
    return str(value).strip()


def _cell(row: Mapping[str, Any], column: str, pointer: str, number: int) -> Any:
    if column not in row:
        raise DataError(
            f"Row {number} has no column {column!r}.",
            hint=f"Its columns are: {', '.join(map(repr, list(row)[:20]))}.",
            pointer=pointer,
        )
    if row[column] is None or row[column] == "":
        raise DataError(f"Row {number}: {column!r} is empty.", pointer=pointer)
    return row[column]


def _label_order(name: str) -> tuple[bool, int, str]:
    """Whole numbers first, by value; then names, by alphabet."""
    number = int(name) if name.lstrip("-").isdecimal() else None
    return (number is None, number or 0, name)


def tokenize(
    texts: LabelledTexts, rows: NDArray[np.int64], tokenizer: Any, max_length: int
) -> Examples:
    """Tokenize these rows in their order, each truncated to `max_length` tokens."""
    encodings = tokenizer(
        [texts.texts[row] for row in rows],
        [texts.pairs[row] for row in rows] if texts.pairs is not None else None,
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
    )
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    return Examples(
        dict(encodings),
        torch.from_numpy(texts.labels[rows]),
        np.array([len(ids) for ids in encodings["input_ids"]]),
        {name: padding.get(name, 0) for name in encodings},
    )


def tokenize_splits(
    texts: LabelledTexts, splits: Splits, tokenizer: Any, max_length: int
) -> dict[str, Examples]:
    return {name: tokenize(texts, getattr(splits, name), tokenizer, max_length) for name in SPLITS}


def example_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each example: logits [b, classes], labels [b] -> [b]."""
    return F.cross_entropy(logits, labels, reduction="none")
