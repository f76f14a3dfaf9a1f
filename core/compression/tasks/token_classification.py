"""Token classification: a list of words and a list of their tags.

Loss: the sum of cross-entropies over words, each at its first token. Metrics: entity-level F1,
precision and recall where tags are IOB, token accuracy, loss and KL per word. Words that were cut
off at max_length are not scored.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.compression.metrics.classification import divergences, f1_of_sums, losses
from core.compression.metrics.entities import entity_counts, is_iob
from core.compression.metrics.metric import Metric, Values, of_sums, ratio
from core.compression.tasks.answers import Answers
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import UNSCORED, Examples, examples_of
from core.compression.tasks.kind import Outputs, TaskKind
from core.compression.tasks.label_names import is_anonymous, refuse_single, sorted_names
from core.compression.tasks.rows import SourceRow
from core.compression.tasks.tag_answers import entity_answers, word_answers
from core.compression.tasks.token_labels import (
    sampled_token_losses,
    scored_tokens,
    token_divergences,
    token_losses,
)
from core.errors import DataError, ModelError
from core.recipe.task import TokenClassification


class TokenClassificationKind(TaskKind[TokenClassification]):
    auto_class = TokenClassification.auto_class
    tokenizer_options = {"add_prefix_space": True}  # noqa: RUF012 - a ClassVar of the base class
    trivial_answer = "the most frequent tag for every word"

    def read(self, rows: Iterable[SourceRow]) -> Data:
        found = list(rows)
        if not found:
            raise DataError("The dataset holds no rows.", pointer="/task/dataset")
        words = [self._words(row) for row in found]
        tags = [self._tags(row, len(own)) for row, own in zip(found, words, strict=True)]
        used = {tag for row in tags for tag in row}
        names = self.config.tag_names or sorted_names(used)
        refuse_single(names, "tags")
        split_of = np.array([row.split for row in found], dtype=str)
        return Data({"tokens": words, "tags": tags}, split_of, names)

    def _words(self, row: SourceRow) -> list[str]:
        words = row.cell(self.config.tokens, "tokens")
        if not (isinstance(words, list) and words and all(isinstance(w, str) for w in words)):
            row.refuse("tokens", f"{self.config.tokens!r} is not a list of words")
        return words

    def _tags(self, row: SourceRow, words: int) -> list[str]:
        tags = row.cell(self.config.tags, "tags")
        if not isinstance(tags, list):
            row.refuse("tags", f"{self.config.tags!r} is not a list of tags")
        if len(tags) != words:
            row.refuse("tags", f"{len(tags)} tags for {words} words")
        return [self._tag(row, tag) for tag in tags]

    def _tag(self, row: SourceRow, tag: Any) -> str:
        names = self.config.tag_names
        if isinstance(tag, bool) or not isinstance(tag, str | int):
            row.refuse("tags", f"the tag {tag!r} is neither a string nor an integer"[:200])
        if names is None:
            return str(tag)
        if isinstance(tag, int) and 0 <= tag < len(names):
            return names[tag]
        if tag not in names:
            row.refuse("tags", f"the tag {tag!r} is not in tag_names"[:200])
        return str(tag)

    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        _refuse_slow(tokenizer)
        encodings = tokenizer(
            data.of("tokens", rows),
            is_split_into_words=True,
            truncation=True,
            max_length=self.config.max_length,
            return_attention_mask=True,
        )
        number_of = {name: number for number, name in enumerate(label_names)}
        word_ids = [encodings.word_ids(place) for place in range(len(rows))]
        labels = [
            _at_first_tokens(ids, [number_of[tag] for tag in tags])
            for ids, tags in zip(word_ids, data.of("tags", rows), strict=True)
        ]
        scored = [
            [words[word] for word in dict.fromkeys(ids) if word is not None]
            for ids, words in zip(word_ids, data.of("tokens", rows), strict=True)
        ]
        notes: dict[str, list[Any]] = {"names": [label_names] * len(rows), "words": scored}
        return examples_of(encodings, labels, tokenizer, notes=notes)

    def labels_of_head(self, own: tuple[str, ...], data: Data) -> tuple[str, ...] | None:
        if set(data.label_names) <= set(own):
            return own
        numbered = is_anonymous(own) and len(own) == len(data.label_names)
        return data.label_names if numbered and self.config.tag_names else None

    def losses(self, answers: Any, batch: Batch) -> Tensor:
        return token_losses(answers.logits, batch.labels)

    def scored(self, batch: Batch) -> Tensor:
        return scored_tokens(batch.labels)

    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        return sampled_token_losses(answers.logits, batch.labels, generator)

    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        return token_divergences(taught.logits, student.logits, batch.labels, temperature)

    @property
    def headline(self) -> str:
        return "f1"

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Logits at scored tokens, in their order: [b, words, tags]."""
        logits = model(**batch.inputs).logits
        rows = [found[own != UNSCORED] for found, own in zip(logits, batch.labels, strict=True)]
        return {"logits": nn.utils.rnn.pad_sequence(rows, batch_first=True)}

    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        words = _scored(examples)
        lengths = np.array([len(row) for row in words], dtype=np.float64)
        logits = [row[: len(own)] for row, own in zip(outputs["logits"], words, strict=True)]
        pairs = list(zip(logits, words, strict=True))
        hits = np.array([float((row.argmax(-1) == own).sum()) for row, own in pairs])
        found = [
            *_entity_metrics(pairs, examples),
            _per_word("token_accuracy", hits, lengths),
            _per_word("loss", np.array([losses(row, own).sum() for row, own in pairs]), lengths),
        ]
        if dense is not None:
            far = [
                divergences(theirs[: len(ours)], ours).sum()
                for theirs, ours in zip(dense["logits"], logits, strict=True)
            ]
            found.append(_per_word("kl", np.array(far), lengths))
        return tuple(found)

    def answers(
        self, outputs: Outputs, examples: Examples, label_names: tuple[str, ...]
    ) -> Answers:
        """Entities where tags are IOB; every word with its tag elsewhere."""
        true = [[label_names[n] for n in row] for row in _scored(examples)]
        given = [
            [label_names[n] for n in row[: len(own)].argmax(-1)]
            for row, own in zip(outputs["logits"], true, strict=True)
        ]
        words = examples.notes["words"]
        read = entity_answers if is_iob(label_names) else word_answers
        return read(words, true, given, label_names)

    def shown(self, data: Data, rows: NDArray[np.int64]) -> list[tuple[str, ...]]:
        return [(" ".join(words),) for words in data.of("tokens", rows)]

    def loss_unit(self, examples: Examples) -> float:
        """Scored words of an example."""
        return float(np.mean([len(row) for row in _scored(examples)]))

    def baseline(self, examples: Examples) -> float:
        words = _scored(examples)
        tags = len(examples.notes["names"][0])
        most = np.bincount(np.concatenate(words), minlength=tags).argmax()
        longest = max(len(row) for row in words)
        constant = np.tile(np.eye(tags)[most], (len(words), longest, 1))
        return self.metrics({"logits": constant}, examples, None)[0].value


def _refuse_slow(tokenizer: Any) -> None:
    if not tokenizer.is_fast:
        raise ModelError(
            "The tokenizer cannot tell which token belongs to which word.",
            hint="Save a fast tokenizer (tokenizer.json) beside the model.",
            pointer="/model",
        )


def _at_first_tokens(word_ids: Sequence[int | None], labels: list[int]) -> list[int]:
    """Each word's label at its first token, nothing at the others."""
    previous = [None, *word_ids[:-1]]
    return [
        UNSCORED if word is None or word == before else labels[word]
        for word, before in zip(word_ids, previous, strict=True)
    ]


def _scored(examples: Examples) -> list[NDArray[np.int64]]:
    """The true tags of each row, by number."""
    assert isinstance(examples.labels, list), "every token has a label"
    rows = (np.array(row, dtype=np.int64) for row in examples.labels)
    return [row[row != UNSCORED] for row in rows]


def _per_word(name: str, sums: Values, words: Values) -> Metric:
    return of_sums(name, np.stack([sums, words], axis=1), lambda s: ratio(s[..., 0], s[..., 1]))


def _entity_metrics(
    pairs: list[tuple[NDArray[np.float64], NDArray[np.int64]]], examples: Examples
) -> list[Metric]:
    """F1, precision and recall of whole entities; nothing where tags are no IOB tags."""
    names = examples.notes["names"][0]
    if not is_iob(names):
        return []
    counts = np.array(
        [
            entity_counts([names[n] for n in row.argmax(-1)], [names[n] for n in own])
            for row, own in pairs
        ],
        dtype=np.float64,
    )
    return [
        of_sums("f1", counts, f1_of_sums),
        of_sums("precision", counts, lambda s: ratio(s[..., 0], s[..., 1])),
        of_sums("recall", counts, lambda s: ratio(s[..., 0], s[..., 2])),
    ]
