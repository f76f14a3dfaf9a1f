"""Batches of rows of about equal length, padded to their own longest row."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compression.tasks.text_classification import Examples

BUCKET = 32
"""Training shuffles, then sorts by length inside spans of this many batches."""


@dataclass(frozen=True)
class Batch:
    inputs: dict[str, Tensor]
    """What the model is called with: input_ids, attention_mask, … [b, tokens]."""
    labels: Tensor
    """[b]"""
    rows: NDArray[np.int64]
    """[b]: which rows of the split these are."""

    def __len__(self) -> int:
        return len(self.rows)

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
    inputs = {}
    for name, column in examples.encodings.items():
        padded = np.full((len(rows), longest), examples.padding[name], dtype=np.int64)
        for position, row in enumerate(rows):
            padded[position, : len(column[row])] = column[row]
        inputs[name] = torch.from_numpy(padded).to(device)
    return Batch(inputs, examples.labels[torch.from_numpy(rows)].to(device), rows)


def reading_batches(examples: Examples, batch_size: int, device: str) -> Iterator[Batch]:
    """Every row once, shortest first: for measuring, where the order does not matter."""
    order = np.argsort(examples.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield make_batch(examples, order[start : start + batch_size], device)


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
