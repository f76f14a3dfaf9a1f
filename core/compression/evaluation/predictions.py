"""The logits of a model over one split."""

from collections.abc import Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.compression.progress import Progress
from core.compression.tasks.batches import reading_batches
from core.compression.tasks.text_classification import Examples
from core.errors import NumericalError


@torch.no_grad()
def predict(
    model: nn.Module, examples: Examples, batch_size: int, device: str = "cpu", unit: str = "row"
) -> Generator[Progress, None, NDArray[np.float64]]:
    """Logits [n, classes] in the split's own order.

    Raises:
        NumericalError: a logit is not finite.
    """
    model.eval()
    logits: NDArray[np.float64] | None = None
    done = 0
    for batch in reading_batches(examples, batch_size, device):
        answers = model(**batch.inputs).logits.double().cpu().numpy()
        if not np.isfinite(answers).all():
            row = batch.rows[~np.isfinite(answers).all(axis=1)][0]
            raise NumericalError(f"The model's output for row {row} of the split is not finite.")
        if logits is None:
            logits = np.empty((len(examples), answers.shape[1]))
        logits[batch.rows] = answers
        done += len(batch)
        yield Progress(done, len(examples), unit)
    assert logits is not None
    return logits
