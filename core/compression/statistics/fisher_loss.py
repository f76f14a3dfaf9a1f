"""What the statistics pass calls for every batch, and the classifier's own such loss."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.compression.statistics.tokens import Batch
from core.compression.tasks.fisher import sampled_labels, two_class_expectation
from core.recipe.statistics import FisherKind

Loss = Callable[[nn.Module, Batch], Tensor]
"""Calls the model on a batch and gives every example's own loss, [batch]."""


def fisher_loss(
    logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
    kind: FisherKind,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "batch"]:
    """Sequence classification. `generator` draws the labels of `true` with over two classes."""
    if kind == "empirical":
        return cross_entropy(logits, labels, reduction="none")
    if logits.shape[1] == 2:
        return two_class_expectation(logits)
    return cross_entropy(logits, sampled_labels(logits, generator), reduction="none")


def classification_loss(kind: FisherKind, generator: torch.Generator | None = None) -> Loss:
    """`fisher_loss` of a transformers model for sequence classification, called on a batch with
    `labels`."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        inputs = {name: values for name, values in batch.items() if name != "labels"}
        return fisher_loss(model(**inputs).logits, batch["labels"], kind, generator)

    return loss
