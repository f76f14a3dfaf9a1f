"""Causal language modelling: texts joined and cut into blocks, whose next tokens are predicted.

Loss: the sum of cross-entropies over a block's tokens but its first. Metrics: perplexity, the loss
and the accuracy of a token. A block is a row.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.compression.metrics.metric import Metric, of_sums, ratio
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import UNSCORED, Examples, Ragged, examples_of
from core.compression.tasks.kind import Outputs, TaskKind
from core.compression.tasks.next_tokens import Predictions, losses_and_hits
from core.compression.tasks.rows import SourceRow
from core.compression.tasks.texts import read_texts
from core.compression.tasks.token_labels import (
    sampled_token_losses,
    scored_tokens,
    token_divergences,
    token_losses,
)
from core.errors import DataError, ModelError
from core.recipe.statistics import FisherKind
from core.recipe.task import CausalLm


class CausalLmKind(TaskKind[CausalLm]):
    auto_class = CausalLm.auto_class
    trivial_answer = "every token of the vocabulary as likely as any other"

    def read(self, rows: Iterable[SourceRow]) -> Data:
        """Rows with an empty text are left out, as between the paragraphs of a corpus."""
        found = [row for row in rows if row.cells.get(self.config.text) != ""]
        split_of = np.array([row.split for row in found], dtype=str)
        return Data(read_texts(found, self.config.text), split_of)

    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        if tokenizer.eos_token_id is None:
            raise ModelError("The tokenizer has no token that ends a text.", pointer="/model")
        texts = tokenizer(data.of("text", rows), add_special_tokens=False)["input_ids"]
        stream = [token for text in texts for token in (*text, tokenizer.eos_token_id)]
        blocks = _blocks(stream, self.config.max_length)
        if not blocks:
            raise DataError(
                "A split holds fewer than two tokens.", hint="Add texts.", pointer="/task/text"
            )
        masks = [[1] * len(block) for block in blocks]
        notes = {"vocabulary": [len(tokenizer)] * len(blocks)}
        return examples_of(
            {"input_ids": blocks, "attention_mask": masks}, blocks, tokenizer, notes=notes
        )

    def losses(self, answers: Any, batch: Batch) -> Tensor:
        return token_losses(*_shifted(answers, batch))

    def scored(self, batch: Batch) -> Tensor:
        return scored_tokens(batch.labels[:, 1:])

    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        return sampled_token_losses(*_shifted(answers, batch), generator)

    def fisher_losses(
        self, model: nn.Module, batch: Batch, kind: FisherKind, generator: torch.Generator
    ) -> Tensor:
        predictions, labels = Predictions.of(model, batch.inputs), batch.labels[:, 1:]
        if kind == "true" and torch.is_grad_enabled():
            unscored = labels == UNSCORED
            labels = predictions.drawn(generator).masked_fill(unscored, UNSCORED)
        return predictions.losses(labels).sum(1)

    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        (theirs, labels), (ours, _) = _shifted(taught, batch), _shifted(student, batch)
        return token_divergences(theirs, ours, labels, temperature)

    @property
    def headline(self) -> str:
        return "perplexity"

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Sums over each block: of losses, of tokens guessed right, of tokens."""
        labels = batch.labels[:, 1:]
        read = Predictions.of(model, batch.inputs).read(losses_and_hits, labels)
        losses, hits = read.sum(1).unbind(-1)
        return {"losses": losses, "hits": hits, "tokens": (labels != UNSCORED).sum(1)}

    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        losses = np.stack([outputs["losses"], outputs["tokens"]], axis=1)
        hits = np.stack([outputs["hits"], outputs["tokens"]], axis=1)
        return (
            of_sums("perplexity", losses, lambda s: np.exp(ratio(s[..., 0], s[..., 1]))),
            of_sums("loss", losses, lambda s: ratio(s[..., 0], s[..., 1])),
            of_sums("token_accuracy", hits, lambda s: ratio(s[..., 0], s[..., 1])),
        )

    def loss_unit(self, examples: Examples) -> float:
        """Scored tokens of a block."""
        return float(np.mean(examples.lengths - 1))

    def baseline(self, examples: Examples) -> float:
        return float(examples.notes["vocabulary"][0])


def _blocks(stream: list[int], length: int) -> Ragged:
    """Consecutive blocks; a last one of a single token predicts nothing and is left out."""
    blocks = [stream[start : start + length] for start in range(0, len(stream), length)]
    return [block for block in blocks if len(block) > 1]


def _shifted(answers: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Each token's logits, from the tokens before it, and the token: [b, tokens − 1, …]."""
    return answers.logits[:, :-1], batch.labels[:, 1:]
