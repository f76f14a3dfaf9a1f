"""A language model's predictions of next tokens, read a few positions at a time.

The logits of a batch are tokens × vocabulary numbers: of a small model with a large vocabulary many
times its weights. Here the head reads as many positions at once as give `AT_ONCE` logits. Where a
gradient is wanted, a piece's logits are not kept but made again in the backward pass (Chen et al.,
Training deep nets with sublinear memory cost, 2016).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from core.compression.tasks.examples import UNSCORED
from core.compression.tasks.fisher import sampled_labels
from core.compression.tasks.kind import divergence

AT_ONCE = 2**23
PLAIN_HEADS = frozenset({"gpt2", "llama", "mistral", "qwen2"})
"""Architectures, by model_type, whose logits are their head's outputs on the base model's last
hidden states and nothing else. Logits of others are made whole by their own code."""

PLACES: ContextVar[Tensor | None] = ContextVar("places", default=None)
"""While a head reads some of a batch's positions: which, in the flattened [batch · length]."""

Reading: TypeAlias = Callable[..., Tensor]
"""From some positions' logits [n, vocabulary], and what belongs to the same positions, [n, …]."""


@dataclass(frozen=True)
class Predictions:
    """At every position but the last, of what comes next."""

    states: Float[Tensor, "batch positions width"]
    head: nn.Module
    vocabulary: int

    @classmethod
    def of(cls, model: Any, inputs: Mapping[str, Tensor]) -> "Predictions":
        if model_type(model) not in PLAIN_HEADS:
            logits: Tensor = model(**inputs).logits[:, :-1]
            return cls(logits, nn.Identity(), logits.shape[-1])
        states = model.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        head = model.get_output_embeddings()
        return cls(states, head, head.out_features)

    def read(self, reading: Reading, *beside: Tensor) -> Tensor:
        """`reading` of all positions, [batch, positions, …]; `beside` is [batch, positions, …]."""
        at_once = max(1, AT_ONCE // self.vocabulary)
        read = (self.places, self.states, *beside)
        columns = [torch.split(values.flatten(0, 1), at_once) for values in read]

        def piece(places: Tensor, states: Tensor, *others: Tensor) -> Tensor:
            with reading_at(places):
                logits = self.head(states)
            return reading(logits, *others)

        pieces = [
            checkpoint(piece, *parts, use_reentrant=False) for parts in zip(*columns, strict=True)
        ]
        together = torch.cat(pieces)
        return together.view(*self.states.shape[:2], *together.shape[1:])

    @property
    def places(self) -> Int[Tensor, "batch positions"]:
        batch, positions = self.states.shape[:2]
        everywhere = torch.arange(batch * (positions + 1), device=self.states.device)
        return everywhere.view(batch, positions + 1)[:, :-1]

    def losses(self, labels: Int[Tensor, "batch positions"]) -> Float[Tensor, "batch positions"]:
        """Cross-entropies, 0 where nothing is scored."""
        return self.read(token_losses, labels)

    @torch.no_grad()
    def drawn(self, generator: torch.Generator | None) -> Int[Tensor, "batch positions"]:
        """Tokens from the model's own output."""
        return self.read(lambda logits: sampled_labels(logits, generator))

    def divergences(self, dense: "Predictions") -> Float[Tensor, "batch positions"]:
        """KL(dense ‖ ours)."""
        return self.read(lambda ours, states: divergence(dense.head(states), ours), dense.states)


@contextmanager
def reading_at(places: Int[Tensor, "n"]) -> Iterator[None]:
    before = PLACES.set(places)
    try:
        yield
    finally:
        PLACES.reset(before)


def positions_read() -> Int[Tensor, "n"] | None:
    """What a head that is called now reads, see `PLACES`; None where it is called on all."""
    return PLACES.get()


def model_type(model: Any) -> str | None:
    return getattr(getattr(model, "config", None), "model_type", None)


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, ignore_index=UNSCORED, reduction="none")


def losses_and_hits(logits: Tensor, labels: Tensor) -> Float[Tensor, "n 2"]:
    """Each position's cross-entropy, and 1 where the likeliest token is the right one."""
    hits = logits.argmax(-1) == labels
    return torch.stack([token_losses(logits, labels), hits.to(logits.dtype)], dim=-1)
