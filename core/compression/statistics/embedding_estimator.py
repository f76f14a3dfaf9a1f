"""A token embedding's statistics while they accumulate, and the hooks that show it each batch."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.compression.layer_statistics import LayerStatistics
from core.compression.linalg import accumulation_dtype
from core.compression.statistics.embedding_fisher import (
    HeadUse,
    squared_gradients,
)
from core.compression.statistics.embedding_sums import (
    EmbeddingSums,
    input_grad_gram,
    input_gram,
    output_gram,
)
from core.compression.statistics.layer_estimator import (
    FISHER,
    GRADIENT_SIDE,
    INPUT_SIDE,
    INPUT_SUMS,
)
from core.compression.statistics.nearest_kronecker import Kronecker, trace
from core.compression.statistics.tokens import Padding, Tokens
from core.compression.tasks.next_tokens import positions_read
from core.errors import ModelError, NumericalError, RecipeError
from core.recipe.statistics import Statistic

KNOWN = FISHER | INPUT_SIDE | GRADIENT_SIDE | INPUT_SUMS
OF_HEAD_INPUTS = INPUT_SIDE | GRADIENT_SIDE | {Statistic.INPUT_ABS_SUM}


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

    def see_head_input(self, h: Float[Tensor, "tokens dim"]) -> None:
        if self.asked & OF_HEAD_INPUTS:
            self._sums.head_inputs += Tokens(h, Padding(1)).second_moments

    def see_head_gradient(self, gradient: Float[Tensor, "tokens vocab"]) -> None:
        if self.asked & GRADIENT_SIDE:
            self._sums.head_gradients += Tokens(gradient, Padding(1)).squares

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
        for squares in squared_gradients(ids, examples, rows, heads, vocab):
            self._sums.add_squares(squares)

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
            case Statistic.FISHER:
                return self._sums.fisher.T
            case Statistic.INPUT_SUM:
                return self._sums.counts
            case Statistic.INPUT_ABS_SUM:
                return self._sums.one_sided()

    @property
    def _table(self) -> Tensor:
        return self._embedding.weight.detach().to(self._sums.counts.dtype)

    def _zeros(self) -> EmbeddingSums:
        table = self._embedding
        device = table.weight.device
        dtype = accumulation_dtype(device)
        shape = table.num_embeddings, table.embedding_dim
        return EmbeddingSums.zeros(*shape, Statistic.FISHER in self.asked, dtype, device)

    def _finite(self, name: Statistic, total: Tensor) -> Tensor:
        if not torch.isfinite(total).all():
            raise NumericalError(
                f"{self.name}: the sum of {name} is not finite",
                hint="Calibrate in float32: activations or gradients overflow.",
            )
        return total


class ObservedBatch:
    """What one batch shows of an embedding, from its look-up to the gradient that comes back.

    A head may read a batch's positions in pieces, more than once, and again in the backward pass
    (see `tasks.next_tokens`). Where the pass is differentiated, a reading counts once its logits'
    gradient comes, which it does for none but the one that the loss was made from.
    """

    def __init__(self, estimator: EmbeddingEstimator, padding: Padding):
        self._estimator = estimator
        self._padding = padding
        self._differentiated = torch.is_grad_enabled()
        self._length: int | None = None
        """Positions per example; None until they were looked up."""
        self._heads: list[HeadUse] = []

    def see_lookup(self, module: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
        if self._length is not None:
            raise ModelError(f"{self._estimator.name} is called more than once in a forward pass")
        self._length = args[0].numel() // self._padding.examples
        rows, examples = self._rows(args[0][..., None], None)
        ids = rows[:, 0]
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
        h, places = args[0].detach(), positions_read()
        if not self._differentiated:
            self._estimator.see_head_input(self._rows(h, places)[0])
        elif z.requires_grad:
            z.register_hook(lambda d: self._see_head_gradient(h, d, places))  # type: ignore[no-untyped-call]

    def _see_head_gradient(self, h: Tensor, gradient: Tensor, places: Tensor | None) -> None:
        rows, examples = self._rows(h, places)
        of_logits, _ = self._rows(gradient, places)
        self._estimator.see_head_input(rows)
        self._estimator.see_head_gradient(of_logits)
        if self._estimator.asked & FISHER:
            self._heads.append(HeadUse(rows, of_logits, examples))

    def _rows(self, values: Tensor, places: Tensor | None) -> tuple[Tensor, Tensor]:
        """Values [.., n] at all positions of the batch, or at these places in it, flattened;
        without padding. And which example each row belongs to."""
        assert self._length is not None, "tokens are looked up before a head reads them"
        rows = values.flatten(0, -2)
        at = torch.arange(len(rows), device=rows.device) if places is None else places
        mask = self._padding.of_length(self._length).mask
        kept = at if mask is None else at[mask.flatten()[at]]
        return (rows if mask is None else rows[mask.flatten()[at]]), kept // self._length


def _refuse_unknown(asked: frozenset[Statistic]) -> None:
    unknown = sorted(asked - KNOWN)
    if unknown:
        raise RecipeError(
            f"a token embedding has no {unknown[0]}, which the method asks for",
            hint="leave embeddings at false, or choose another method",
            pointer="/embeddings",
        )
