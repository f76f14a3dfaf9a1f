"""Per-example losses whose squared gradients are the Fisher information of a classifier.

`empirical`: the loss at the true label. `true`: in expectation over the model's own output p; with
two classes the expectation is exact in one backward pass,

    E_y[g_y g_yᵀ] = p₀ p₁ d dᵀ = h hᵀ,   d = ∇(z₀ − z₁),   h = ∇ √(p₀ p₁) (z₀ − z₁), p detached,

with more it is unbiased by one label sampled per example (Martens, JMLR 2020; Kunstner et al.,
NeurIPS 2019, on how the two kinds differ).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.compression.statistics.tokens import Batch
from core.recipe.methods import FisherKind

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


def two_class_expectation(logits: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch"]:
    """√(p₀ p₁) (z₀ − z₁), the probabilities taken as constants."""
    deviation = logits.detach().softmax(1).prod(1).sqrt()
    return deviation * (logits[:, 0] - logits[:, 1])


def sampled_labels(
    logits: Float[Tensor, "batch classes"], generator: torch.Generator | None
) -> Int[Tensor, "batch"]:
    """One label per example from the model's own output, drawn on the generator's device."""
    probabilities = logits.detach().float().softmax(1)
    device = generator.device if generator is not None else logits.device
    drawn = torch.multinomial(probabilities.to(device), 1, generator=generator)
    return drawn.squeeze(1).to(logits.device)


def classification_loss(kind: FisherKind, generator: torch.Generator | None = None) -> Loss:
    """`fisher_loss` of a transformers model for sequence classification, called on a batch with
    `labels`."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        inputs = {name: values for name, values in batch.items() if name != "labels"}
        return fisher_loss(model(**inputs).logits, batch["labels"], kind, generator)

    return loss
