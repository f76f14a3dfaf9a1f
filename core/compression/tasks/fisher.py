"""Losses whose squared gradients are the Fisher information of an answer's own distribution.

With two classes the expectation is exact in one backward pass,

    E_y[g_y g_yᵀ] = p₀ p₁ d dᵀ = h hᵀ,   d = ∇(z₀ − z₁),   h = ∇ √(p₀ p₁) (z₀ − z₁), p detached,

with more it is unbiased by one label sampled per answer (Martens, JMLR 2020; Kunstner et al.,
NeurIPS 2019, on how this and the empirical kind differ). Labels sampled independently for each
token stay unbiased when an example's tokens are summed: the cross terms vanish in expectation.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def two_class_expectation(logits: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch"]:
    """√(p₀ p₁) (z₀ − z₁), the probabilities taken as constants."""
    deviation = logits.detach().softmax(1).prod(1).sqrt()
    return deviation * (logits[:, 0] - logits[:, 1])


def sampled_labels(
    logits: Float[Tensor, "*answers classes"], generator: torch.Generator | None
) -> Int[Tensor, "*answers"]:
    """One label per answer from the model's own output, drawn on the generator's device."""
    probabilities = logits.detach().flatten(0, -2).float().softmax(1)
    device = generator.device if generator is not None else logits.device
    drawn = torch.multinomial(probabilities.to(device), 1, generator=generator)
    return drawn.squeeze(1).to(logits.device).view(logits.shape[:-1])
