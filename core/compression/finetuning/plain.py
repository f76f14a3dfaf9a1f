"""Plain fine-tuning: the task's own loss, as the papers do before and after factorization."""

from torch import Tensor, nn

from core.compression.tasks.batches import Batch
from core.compression.tasks.text_classification import example_losses


def task_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of each example: [b]."""
    return example_losses(model(**batch.inputs).logits, batch.labels)
