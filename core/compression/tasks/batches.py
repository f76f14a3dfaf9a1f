"""Batches of examples of about equal length, padded to their own longest one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compression.tasks.examples import UNSCORED, Examples, Ragged

BUCKET = 32
"""Training shuffles, then sorts by length inside spans of this many batches."""


@dataclass(frozen=True)
class Batch:
    inputs: dict[str, Tensor]
    """What the model is called with: input_ids, attention_mask, … [b, tokens]."""
    labels: Tensor
    """[b, …]; [b, tokens] where tokens have labels."""
    rows: NDArray[np.int64]
    """[b]: which examples of the split these are."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def mask(self) -> Tensor:
        """1 at tokens, 0 at padding: [b, tokens]."""
        return self.inputs["attention_mask"]

    def parts(self, count: int) -> Iterator["Batch"]:
        """The batch in `count` consecutive parts of nearly equal size (fewer if it is smaller)."""
        for chunk in np.array_split(np.arange(len(self)), min(count, len(self))):
            part = slice(int(chunk[0]), int(chunk[-1]) + 1)
            yield Batch(
                {name: tensor[part] for name, tensor in self.inputs.items()},
                self.labels[part],
                self.rows[part],
            )


def make_batch(examples: Examples, rows: NDArray[np.int64], device: str) -> Batch:
    longest = int(examples.lengths[rows].max())
    inputs = {
        name: _padded([column[row] for row in rows], longest, examples.padding[name]).to(device)
        for name, column in examples.encodings.items()
    }
    labels = examples.labels_of(rows)
    if not isinstance(labels, Tensor):
        labels = _padded(labels, longest, UNSCORED)
    return Batch(inputs, labels.to(device), rows)


def _padded(columns: Ragged, longest: int, filling: int) -> Tensor:
    padded = np.full((len(columns), longest), filling, dtype=np.int64)
    for position, values in enumerate(columns):
        padded[position, : len(values)] = values
    return torch.from_numpy(padded)


def reading_batches(
    examples: Examples, batch_size: int, device: str, smallest: int = 1
) -> Iterator[Batch]:
    """Every example once, shortest first: for measuring, where the order does not matter.

    A last batch of fewer than `smallest` examples is joined to the one before it.
    """
    order = np.argsort(examples.lengths, kind="stable")
    starts = list(range(0, len(order), batch_size))
    if len(starts) > 1 and len(order) - starts[-1] < smallest:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield make_batch(examples, order[start:end], device)


def training_order(
    lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Row numbers of each batch of one epoch, a function of nothing but its arguments.

    Rows are shuffled, sorted by length within spans of `BUCKET` batches, cut into batches, and the
    batches are shuffled. Only the last batch can be smaller.
    """
    generator = np.random.default_rng([seed, epoch])
    shuffled = generator.permutation(len(lengths))
    span = batch_size * BUCKET
    spans = [shuffled[start : start + span] for start in range(0, len(shuffled), span)]
    by_length = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in spans])
    starts = np.arange(0, len(by_length), batch_size)
    return [by_length[start : start + batch_size] for start in generator.permutation(starts)]
