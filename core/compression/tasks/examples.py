"""One split, tokenized: what batches are made of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ragged = list[list[int]]

UNSCORED = -100
"""The label of a token that no loss or metric counts."""


@dataclass(frozen=True)
class Examples:
    """What a model reads one at a time. Nothing is padded yet: batches pad to their own longest."""

    encodings: dict[str, Ragged]
    """input_ids, attention_mask and what else the tokenizer gives, one list per example."""
    labels: Tensor | Ragged
    """[n, …], or a label for every token of each example; [n, 0] where there are none."""
    lengths: NDArray[np.int64]
    """[n], tokens per example."""
    padding: dict[str, int]
    """What each encoding is padded with."""
    rows: NDArray[np.int64]
    """[n]: the row of the split that each example is, or is a part of; ascending."""
    notes: dict[str, list[Any]] = field(default_factory=dict)
    """What metrics need beside the labels, one entry per example."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def row_count(self) -> int:
        return int(self.rows[-1]) + 1

    def head(self, rows: int | None) -> "Examples":
        """Those of the first rows of the split's order."""
        return self if rows is None else self.select(np.flatnonzero(self.rows < rows))

    def select(self, chosen: NDArray[np.int64]) -> "Examples":
        return Examples(
            {name: _picked(column, chosen) for name, column in self.encodings.items()},
            self.labels_of(chosen),
            self.lengths[chosen],
            self.padding,
            self.rows[chosen],
            {name: _picked(column, chosen) for name, column in self.notes.items()},
        )

    def labels_of(self, chosen: NDArray[np.int64]) -> Any:
        if isinstance(self.labels, Tensor):
            return self.labels[torch.from_numpy(chosen)]
        return _picked(self.labels, chosen)


def _picked(column: list[Any], chosen: NDArray[np.int64]) -> list[Any]:
    return [column[example] for example in chosen]


def no_labels(count: int) -> Tensor:
    return torch.zeros(count, 0)


def examples_of(
    encodings: Any,
    labels: Tensor | Ragged,
    tokenizer: Any,
    rows: NDArray[np.int64] | None = None,
    notes: dict[str, list[Any]] | None = None,
) -> Examples:
    """From what a tokenizer gave; each example is a row of its own where none are named."""
    columns: dict[str, Ragged] = dict(encodings)
    lengths = np.array([len(ids) for ids in columns["input_ids"]])
    padding = {
        "input_ids": tokenizer.pad_token_id or 0,
        "token_type_ids": tokenizer.pad_token_type_id,
    }
    return Examples(
        columns,
        labels,
        lengths,
        {name: padding.get(name, 0) for name in columns},
        np.arange(len(lengths)) if rows is None else rows,
        notes or {},
    )
