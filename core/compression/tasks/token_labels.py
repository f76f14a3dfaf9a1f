"""What tasks with one label per token share: losses summed over the scored tokens of an example."""

import torch
from torch import Tensor
from torch.nn import functional as F

from core.compression.tasks.examples import UNSCORED
from core.compression.tasks.fisher import sampled_labels
from core.compression.tasks.kind import tempered_divergence


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over scored tokens: [b, tokens, classes], [b, tokens] -> [b]."""
    losses = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=UNSCORED, reduction="none"
    )
    return losses.view(labels.shape).sum(1)


def scored_tokens(labels: Tensor) -> Tensor:
    """[b, tokens] -> [b], at least 1."""
    return (labels != UNSCORED).sum(1).clamp(min=1)


def sampled_token_losses(logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """`token_losses` at labels drawn from the model's own output, where tokens are scored."""
    drawn = sampled_labels(logits, generator)
    return token_losses(logits, drawn.masked_fill(labels == UNSCORED, UNSCORED))


def token_divergences(
    reference: Tensor, logits: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """T² KL summed over scored tokens: [b]."""
    scored = labels != UNSCORED
    summed: Tensor = (tempered_divergence(reference, logits, temperature) * scored).sum(1)
    return summed
