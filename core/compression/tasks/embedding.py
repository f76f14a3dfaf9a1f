"""Embedding: texts whose similarities are to stay what the dense model says they are. No labels.

An embedding e is the pooled last hidden state, normalized to length 1; a similarity is a cosine.

Loss of text i in a batch: the others' embeddings ē_j are held fixed, and
p_i(j) = softmax_{j≠i}(e_i · ē_j / τ) says which of them i is nearest to. At the dense model itself
the cross-entropy from p_i to p_i has the gradient zero, so it is no measure of importance; what
matters is its curvature, the Fisher information E_{j~p_i}[g_j g_jᵀ] with g_j = ∇ −log p_i(j). One
neighbour sampled from p_i gives an unbiased estimate, g = (Σ_k p_i(k) ē_k − ē_j) / τ carried
through the model, which vanishes only where one neighbour has all of p_i. Since the others are
fixed, every gradient belongs to one text. Both kinds of Fisher are this one.

Recovery: w_task · cross-entropy from the dense model's p_i to the student's, w_logits · MSE of the
similarity rows, and hidden states (Tian et al., Contrastive representation distillation, 2020, and
Tung & Mori, Similarity-preserving knowledge distillation, ICCV 2019, are of this kind).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.metrics.correlation import row_spearman
from core.compression.metrics.metric import Metric, mean
from core.compression.tasks.batches import Batch
from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples, examples_of, no_labels
from core.compression.tasks.fisher import sampled_labels
from core.compression.tasks.kind import Outputs, TaskKind
from core.compression.tasks.rows import SourceRow
from core.compression.tasks.texts import read_texts, tokenize_texts
from core.errors import RecipeError
from core.recipe.statistics import FisherKind
from core.recipe.task import Embedding
from core.recipe.training import Adapt, DistillationConfig, Finetune

TEMPERATURE = 0.05
"""τ, as sentence embeddings are commonly trained (a scale of 20)."""
REFERENCES = 256
"""Each text is compared with at most so many others of its split, its first ones."""


class EmbeddingKind(TaskKind[Embedding]):
    auto_class = Embedding.auto_class
    smallest_batch = 3
    compares_with_dense = True
    loss_metric = "similarity_error"

    def read(self, rows: Iterable[SourceRow]) -> Data:
        found = list(rows)
        split_of = np.array([row.split for row in found], dtype=str)
        return Data(read_texts(found, self.config.text), split_of)

    def tokenize(
        self, data: Data, rows: NDArray[np.int64], label_names: tuple[str, ...], tokenizer: Any
    ) -> Examples:
        encodings = tokenize_texts(data, rows, tokenizer, self.config.max_length)
        return examples_of(encodings, no_labels(len(rows)), tokenizer)

    def check(self, adapt: Adapt, finetune: Finetune, *, new_head: bool) -> None:
        if adapt == "always":
            raise RecipeError(
                "There is nothing to adapt an embedding model to: the dense model is the measure.",
                hint="Set adapt to 'auto' or 'never'.",
                pointer="/adapt",
            )
        if finetune.type == "plain":
            raise RecipeError(
                "Embeddings have no labels to fine-tune on.",
                hint="Set finetune to 'distill' or 'alternating', or to 'none'.",
                pointer="/finetune",
            )

    def embeddings(self, answers: Any, batch: Batch) -> Tensor:
        """Pooled over real tokens, of length 1: [b, features]."""
        hidden: Tensor = answers.last_hidden_state
        if self.config.pooling == "cls":
            return F.normalize(hidden[:, 0], dim=1)
        mask = batch.mask[..., None].to(hidden.dtype)
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    def losses(self, answers: Any, batch: Batch) -> Tensor:
        raise NotImplementedError("embeddings have no labels; `check` refuses to train on them")

    def sampled_losses(self, answers: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        logits = self._neighbours(self.embeddings(answers, batch)) / TEMPERATURE
        return F.cross_entropy(logits, sampled_labels(logits, generator), reduction="none")

    def fisher_losses(
        self, model: nn.Module, batch: Batch, kind: FisherKind, generator: torch.Generator
    ) -> Tensor:
        if len(batch) < self.smallest_batch:
            raise RecipeError(
                f"A text is compared with the others of its batch, and here are {len(batch)}.",
                hint=f"Calibrate on batches of {self.smallest_batch} rows or more.",
                pointer="/calibration/batch_size",
            )
        return self.sampled_losses(model(**batch.inputs), batch, generator)

    def _neighbours(self, embeddings: Tensor) -> Tensor:
        """e_i · ē_j for j ≠ i, the others fixed: [b, b − 1]."""
        return off_diagonal(embeddings @ embeddings.detach().mT)

    def distillation_losses(
        self, taught: Any, student: Any, batch: Batch, config: DistillationConfig
    ) -> Tensor:
        theirs, ours = self._both_similarities(taught, student, batch)
        target = (theirs / TEMPERATURE).softmax(1)
        crossed = -(target * (ours / TEMPERATURE).log_softmax(1)).sum(1)
        distances = self.distances(taught, student, batch, config.temperature)
        return config.task_weight * crossed + config.logits_weight * distances

    def distances(self, taught: Any, student: Any, batch: Batch, temperature: float) -> Tensor:
        """Mean squared error of each text's similarities; a batch of one has none."""
        theirs, ours = self._both_similarities(taught, student, batch)
        return (theirs - ours).square().sum(1) / max(1, len(batch) - 1)

    def _both_similarities(self, taught: Any, student: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of the dense model and of the student, to the other texts of the batch: [b, b − 1]."""
        theirs, ours = (self.embeddings(answers, batch) for answers in (taught, student))
        return off_diagonal(theirs @ theirs.mT), off_diagonal(ours @ ours.mT)

    @property
    def headline(self) -> str:
        return "similarity_rank"

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"embeddings": self.embeddings(model(**batch.inputs), batch)}

    def metrics(
        self, outputs: Outputs, examples: Examples, dense: Outputs | None
    ) -> tuple[Metric, ...]:
        """The dense model agrees with itself: 1, and an error of 0, by definition."""
        theirs = _similarities((outputs if dense is None else dense)["embeddings"])
        ours = _similarities(outputs["embeddings"])
        return (
            mean("similarity_rank", row_spearman(ours, theirs)),
            mean("similarity_error", ((ours - theirs) ** 2).mean(axis=1)),
        )

    def loss_unit(self, examples: Examples) -> None:
        return None


def off_diagonal(square: Tensor) -> Tensor:
    """[b, b] -> [b, b − 1], without each row's own place."""
    others = ~torch.eye(len(square), dtype=torch.bool, device=square.device)
    return square[others].view(len(square), len(square) - 1)


def _similarities(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """To the first rows of the split, without each row's own: [n, references]."""
    references = min(REFERENCES, len(embeddings) - 1)
    places = np.arange(references) + (np.arange(references) >= np.arange(len(embeddings))[:, None])
    similarities = embeddings @ embeddings[: references + 1].T
    return np.asarray(np.take_along_axis(similarities, places, axis=1))
