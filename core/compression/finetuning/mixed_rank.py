"""Mixed-rank fine-tuning: from a pruned model to a low-rank one, the third part of LPAF.

Ren & Zhu, Low-rank prune-and-factorize for language model compression, 2023; rebuilt from its
abstract. In each pass of a step every matrix draws a path of its own:

    y = (W ⊙ M) x + b   with probability p_t,      y = outer (inner x) + b   otherwise,
    p_t = p_0 · max(0, 1 − t / ((1 − low_rank_share) T)).

A step takes two such passes, a and b, of the same batch, and its loss is

    (ℓ(a) + ℓ(b)) / 2 + α (KL(a ‖ b) + KL(b ‖ a)) / 2,

as in R-Drop (Liang et al., NeurIPS 2021), dropout being the other thing that differs. KL stands for
the task's own distance between answers. In the last share of steps all paths are low-rank, and a
model that is evaluated takes them always: what is scored and kept is what will be the result.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.finetuning.protocol import Hook, Training
from core.compression.low_rank import LowRankLinear
from core.compression.models.factorized import factorized_layers
from core.compression.models.layers import replace_layers
from core.compression.tasks.batches import Batch
from core.compression.tasks.kind import TaskKind
from core.recipe.training import MixedRankFinetune


class MixedRankLinear(nn.Module):
    """Both paths share the bias."""

    left: Tensor

    def __init__(self, low_rank: LowRankLinear, sparse: Tensor, trainable: bool):
        super().__init__()
        self.low_rank = low_rank
        self.sparse = nn.Parameter(sparse.detach().clone(), trainable)
        self.register_buffer("left", sparse.detach() != 0, persistent=False)
        self.takes_sparse = False

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.takes_sparse:
            return F.linear(x, self.sparse * self.left, self.low_rank.bias)
        low: Tensor = self.low_rank(x)
        return low


@dataclass
class MixedRank(Hook):
    """Objective and hook: the paths are drawn for a step, not for the parts of its batch."""

    task: TaskKind[Any]
    sparse: Mapping[str, Tensor]
    """The pruned weight [out, in] of every factorized layer."""
    config: MixedRankFinetune
    layers: list[MixedRankLinear] = field(default_factory=list)
    _paths: Tensor = field(default_factory=lambda: torch.zeros(2, 0, dtype=torch.bool))
    _probability: float = 0.0

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """While inside, the model's low-rank layers have their pruned weights beside them."""
        low_rank = {
            name: layer
            for name, layer in factorized_layers(model).items()
            if isinstance(layer, LowRankLinear)
        }
        trains = self.config.sparse_weights == "trainable"
        mixed = {
            name: MixedRankLinear(layer, self.sparse[name], trains)
            for name, layer in low_rank.items()
        }
        self.layers = list(mixed.values())
        replace_layers(model, mixed)
        try:
            yield
        finally:
            replace_layers(model, low_rank)

    def probability(self, progress: float) -> float:
        """p_t."""
        mixing = 1 - self.config.low_rank_share
        return self.config.sparse_probability * max(0.0, 1 - progress / mixing)

    def before_batch(self, training: Training) -> None:
        self._probability = self.probability(training.progress)
        drawn = torch.rand(2, len(self.layers), generator=training.generator())
        self._paths = drawn < self._probability

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of each row: [b]."""
        a, b = (self._answers(model, batch, paths.tolist()) for paths in self._paths)
        scored = self.task.scored(batch)
        task = (self.task.losses(a, batch) + self.task.losses(b, batch)) / 2
        return (task + self.config.consistency * self.disagreement(a, b, batch)) / scored

    def disagreement(self, a: Any, b: Any, batch: Batch) -> Tensor:
        """The symmetric KL divergence of two passes' answers: [b]."""
        distances = self.task.distances
        return (distances(a, b, batch, 1.0) + distances(b, a, batch, 1.0)) / 2

    def _answers(self, model: nn.Module, batch: Batch, paths: list[bool]) -> Any:
        for layer, takes_sparse in zip(self.layers, paths, strict=True):
            layer.takes_sparse = takes_sparse
        return model(**batch.inputs)

    def values(self) -> dict[str, float]:
        return {"sparse_probability": self._probability}
