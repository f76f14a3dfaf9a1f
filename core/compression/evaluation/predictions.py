"""What a model answers to one split."""

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.compression.progress import Progress
from core.compression.tasks.batches import Batch, reading_batches
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import Outputs, TaskKind
from core.errors import NumericalError


@torch.no_grad()
def predict(
    model: nn.Module,
    task: TaskKind[Any],
    examples: Examples,
    batch_size: int,
    device: str = "cpu",
    unit: str = "row",
) -> Generator[Progress, None, Outputs]:
    """The task's outputs [n, …] in the split's own order, zero where a shorter batch ended.

    Raises:
        NumericalError: one of them is not finite.
    """
    model.eval()
    outputs: dict[str, NDArray[np.float64]] = {}
    done = 0
    for batch in reading_batches(examples, batch_size, device):
        for name, values in task.outputs(model, batch).items():
            known = outputs.get(name, np.zeros((len(examples),)))
            outputs[name] = _with(known, finite(values, batch), batch.rows)
        done += len(batch)
        yield Progress(done, len(examples), unit)
    return outputs


def finite(values: Tensor, batch: Batch) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.double().cpu().numpy()
    whole = np.isfinite(found).reshape(len(found), -1).all(axis=1)
    if not whole.all():
        row = batch.rows[~whole][0]
        raise NumericalError(f"The model's output for row {row} of the split is not finite.")
    return found


def _with(
    known: NDArray[np.float64], values: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`known` with these rows filled in, grown to their shape."""
    if known.ndim < values.ndim:
        known = np.zeros((len(known), *values.shape[1:]))
    sizes = list(zip(known.shape[1:], values.shape[1:], strict=True))
    if any(new > old for old, new in sizes):
        known = np.pad(known, [(0, 0), *((0, max(0, new - old)) for old, new in sizes)])
    known[np.ix_(rows, *(np.arange(new) for _, new in sizes))] = values
    return known
