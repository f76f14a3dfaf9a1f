"""A token embedding's statistics while they accumulate, and the hooks that show it each batch."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import accumulation_dtype
from core.compression.statistics.embedding_fisher import (
    HeadUse,
    fisher_of_lookup,
    fisher_of_tied,
)
from core.compression.statistics.embedding_sums import (
    EmbeddingSums,
    input_grad_gram,
    input_gram,
    output_gram,
)
from core.compression.statistics.layer_estimator import FISHER, GRADIENT_SIDE, INPUT_SIDE
from core.compression.statistics.nearest_kronecker import Kronecker, trace
from core.compression.statistics.tokens import Padding, Tokens
from core.errors import ModelError, NumericalError, RecipeError
from core.recipe.statistics import Statistic

KNOWN = FISHER | INPUT_SIDE | GRADIENT_SIDE


class EmbeddingEstimator:
    """Sums over some of a pass's batches for one embedding and the heads tied to it.

    Raises RecipeError for a statistic that an embedding has no form of.
    """

    def __init__(
        self,
        name: str,
        embedding: nn.Embedding,
        heads: Mapping[str, nn.Linear],
        asked: frozenset[Statistic],
    ):
        self.name = name
        self.asked = asked
        self.tokens = 0
        self._embedding = embedding
        self._heads = heads
        self._sums = self._zeros()
        _refuse_unknown(asked)

    @property
    def needs_gradient(self) -> bool:
        return bool(self.asked & (GRADIENT_SIDE | FISHER))

    @contextmanager
    def observing(self, padding: Padding) -> Iterator[None]:
        """For one batch's forward and backward pass."""
        batch = ObservedBatch(self, padding)
        with ExitStack() as hooks:
            hooks.callback(self._embedding.register_forward_hook(batch.see_lookup).remove)
            for head in self._heads.values():
                hooks.callback(head.register_forward_hook(batch.see_head).remove)
            yield

    def see_tokens(self, ids: Int[Tensor, "tokens"]) -> None:
        self.tokens += len(ids)
        self._sums.counts += torch.bincount(ids, minlength=self._embedding.num_embeddings)

    def see_head_input(self, h: Tokens) -> None:
        if self.asked & (INPUT_SIDE | GRADIENT_SIDE):
            self._sums.head_inputs += h.second_moments

    def see_head_gradient(self, gradient: Tokens) -> None:
        if self.asked & GRADIENT_SIDE:
            self._sums.head_gradients += gradient.squares

    def see_gradient(
        self,
        ids: Int[Tensor, "tokens"],
        examples: Int[Tensor, "tokens"],
        delta: Tokens,
        heads: list[HeadUse],
    ) -> None:
        if self.asked & GRADIENT_SIDE:
            self._sums.gradients += delta.second_moments
        if not self.asked & FISHER:
            return
        vocab, rows = self._embedding.num_embeddings, delta.rows
        found = (
            fisher_of_tied(ids, examples, rows, heads, vocab)
            if heads
            else fisher_of_lookup(ids, examples, rows, vocab)
        )
        self._sums.fisher_in += found.by_token
        self._sums.fisher_out += found.by_feature

    def __add__(self, other: "EmbeddingEstimator") -> "EmbeddingEstimator":
        both = EmbeddingEstimator(self.name, self._embedding, self._heads, self.asked)
        both.tokens = self.tokens + other.tokens
        both._sums = self._sums + other._sums
        return both

    def statistics(self, examples: int) -> LayerStatistics:
        """Of the batches seen, which had this many examples."""
        p, q = self._weights()
        sums = {name: self._finite(name, self._made(name, p, q)) for name in sorted(self.asked)}
        traces = {}
        if self.asked & (INPUT_SIDE | GRADIENT_SIDE):
            traces[Statistic.INPUT_GRAM] = trace(q)
        if self.asked & GRADIENT_SIDE:
            traces[Statistic.OUTPUT_GRAD_GRAM] = trace(p)
        return LayerStatistics(sums, examples, self.tokens, traces)

    def _weights(self) -> Kronecker:
        """P and q of the two-sided norm; without gradients q is that of the one-sided."""
        if self.asked & GRADIENT_SIDE:
            return self._sums.two_sided(self.tokens)
        return Kronecker(self._sums.gradients, self._sums.one_sided())

    def _made(self, name: Statistic, p: Tensor, q: Tensor) -> Tensor:
        match name:
            case Statistic.INPUT_GRAM:
                return input_gram(q)
            case Statistic.OUTPUT_GRAM:
                return output_gram(self._table, q)
            case Statistic.OUTPUT_GRAD_GRAM:
                return p
            case Statistic.INPUT_GRAD_GRAM:
                return input_grad_gram(self._table, p)
            case Statistic.FISHER_IN:
                return self._sums.fisher_in
            case Statistic.FISHER_OUT:
                return self._sums.fisher_out

    @property
    def _table(self) -> Tensor:
        return self._embedding.weight.detach().to(self._sums.counts.dtype)

    def _zeros(self) -> EmbeddingSums:
        table = self._embedding
        device = table.weight.device
        dtype = accumulation_dtype(device)
        return EmbeddingSums.zeros(table.num_embeddings, table.embedding_dim, dtype, device)

    def _finite(self, name: Statistic, total: Tensor) -> Tensor:
        if not torch.isfinite(total).all():
            raise NumericalError(
                f"{self.name}: the sum of {name} is not finite",
                hint="Calibrate in float32: activations or gradients overflow.",
            )
        return total


class ObservedBatch:
    """What one batch shows of an embedding, from its look-up to the gradient that comes back."""

    def __init__(self, estimator: EmbeddingEstimator, padding: Padding):
        self._estimator = estimator
        self._padding = padding
        self._looked_up = False
        self._heads: list[HeadUse] = []

    def see_lookup(self, module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
        if self._looked_up:
            raise ModelError(f"{self._estimator.name} is called more than once in a forward pass")
        self._looked_up = True
        ids, examples = self._tokens_of(args[0])
        self._estimator.see_tokens(ids)
        if not self._estimator.needs_gradient:
            return y
        watched = y if y.requires_grad else y.detach().requires_grad_().clone()
        watched.register_hook(  # type: ignore[no-untyped-call]
            lambda d: self._estimator.see_gradient(
                ids, examples, Tokens(d, self._padding), self._heads
            )
        )
        return watched

    def see_head(self, module: nn.Module, args: tuple[Tensor, ...], z: Tensor) -> None:
        h = Tokens(args[0], self._padding)
        self._estimator.see_head_input(h)
        if self._estimator.needs_gradient:
            z.register_hook(lambda d: self._see_head_gradient(h, d))  # type: ignore[no-untyped-call]

    def _see_head_gradient(self, h: Tokens, gradient: Tensor) -> None:
        of_logits = Tokens(gradient, self._padding)
        self._estimator.see_head_gradient(of_logits)
        if self._estimator.asked & FISHER:
            self._heads.append(HeadUse(h, of_logits))

    def _tokens_of(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The ids that are no padding, and which example each belongs to."""
        length = ids.numel() // self._padding.examples
        places = self._padding.of_length(length).places
        flat = ids.flatten()
        places = torch.arange(len(flat), device=flat.device) if places is None else places
        return flat[places], places // length


def _refuse_unknown(asked: frozenset[Statistic]) -> None:
    unknown = sorted(asked - KNOWN)
    if unknown:
        raise RecipeError(
            f"a token embedding has no {unknown[0]}, which the method asks for",
            hint="leave embeddings at false, or choose another method",
            pointer="/embeddings",
        )
