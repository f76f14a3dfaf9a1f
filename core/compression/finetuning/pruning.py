"""Pruning in training: weights of the target layers go while the others learn.

First-order unstructured pruning, which the first part of LPAF (Ren & Zhu 2023, rebuilt from its
abstract) is. With scores S, one for each weight, and v weights to be left,

    y = (W ⊙ Top_v(S)) x + b,      ∂L/∂W = ∂L/∂W_eff ⊙ Top_v(S),

the gradient going straight through Top_v, so that what was pruned can return. Scores are

    movement      S ← S − η ∂L/∂W_eff ⊙ W          (Sanh, Wolf & Rush, NeurIPS 2020),
    sensitivity   S ← β S + (1 − β) |∂L/∂W_eff ⊙ W|  (Molchanov et al., ICLR 2017, averaged),
    magnitude     S = |W|, the control, with nothing to learn.

By movement a weight gains that a step moves away from zero; sensitivity is by how much the loss
would change to first order if the weight went. v falls by a cubic schedule (see `cubic`) to exactly
what was asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.finetuning.cubic import CubicSchedule
from core.compression.finetuning.optimizer import adamw
from core.compression.finetuning.protocol import Hook, Training
from core.compression.models.layers import linear_layer, replace_layer
from core.compression.sparsity import numerical_rank
from core.recipe.events import LayerStructure
from core.recipe.pruning import Pruning
from core.recipe.training import TrainingConfig

RANKS_LOOKED_AT = 10
"""How often in a training ranks are told: that of a matrix costs more than its sparsity."""


class StraightThrough(torch.autograd.Function):
    """The mask forwards; backwards S gets the mask's gradient as if they were one."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        return mask.to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class PrunedLinear(nn.Module):
    """``y = (W ⊙ mask) x + bias``."""

    mask: Tensor

    def __init__(self, dense: nn.Linear, scored: bool):
        super().__init__()
        self.weight = nn.Parameter(dense.weight.detach().clone())
        self.bias = None if dense.bias is None else nn.Parameter(dense.bias.detach().clone())
        self.scores = nn.Parameter(torch.zeros_like(self.weight)) if scored else None
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))

    def effective_weight(self) -> Tensor:
        if self.scores is None:
            return self.weight * self.mask
        masked: Tensor = self.weight * StraightThrough.apply(self.scores, self.mask)
        return masked

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.effective_weight(), self.bias)

    @torch.no_grad()
    def standing(self) -> Tensor:
        """What weights stay by: [out, in]."""
        return self.weight.abs() if self.scores is None else self.scores.detach()


def put_pruned(model: nn.Module, names: Sequence[str], pruning: Pruning) -> dict[str, PrunedLinear]:
    """Pruned layers in place of these, all of whose weights are still there."""
    layers = {
        name: PrunedLinear(linear_layer(model, name), pruning.scores != "magnitude")
        for name in names
    }
    for name, layer in layers.items():
        replace_layer(model, name, layer)
    return layers


@torch.no_grad()
def take_pruned(dense: nn.Module, layers: Mapping[str, PrunedLinear]) -> None:
    """The weights that are left, in a model's own layers; pruned ones are zero."""
    for name, layer in layers.items():
        own = linear_layer(dense, name)
        own.weight.copy_(layer.effective_weight())
        if layer.bias is not None:
            own.bias.copy_(layer.bias)


def top(scores: Tensor, count: int) -> Tensor:
    """Top_v: the `count` highest, among equals the first: a mask of exactly so many."""
    flat = scores.flatten()
    if count == 0 or count == len(flat):
        return torch.full_like(scores, count > 0, dtype=torch.bool)
    least = nth_smallest(flat, len(flat) - count)
    chosen = flat >= least
    if int(chosen.sum()) > count:
        above, equal = flat > least, flat == least
        chosen = above | (equal & (equal.cumsum(0) <= count - above.sum()))
    return chosen.view_as(scores)


def nth_smallest(values: Tensor, n: int) -> Tensor:
    """Counted from 0. NumPy's selection is some fifteen times as fast as torch's on a CPU."""
    if values.is_cuda:
        return values.kthvalue(n + 1).values
    return torch.from_numpy(np.partition(values.numpy(), n)[n : n + 1])


def top_of_all(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """The same over several matrices together."""
    chosen = top(torch.cat([each.flatten() for each in scores]), count)
    parts = torch.split(chosen, [each.numel() for each in scores])
    return [part.view_as(each) for part, each in zip(parts, scores, strict=True)]


@dataclass
class PruningHook(Hook):
    """Moves scores before each step, and chooses masks after it: those that the next one sees."""

    layers: Mapping[str, PrunedLinear]
    kept: Mapping[str, int]
    """By layer, how many weights are left at the end."""
    config: Pruning
    _done: int = 0
    _steps: int = 1
    _ranks_told: int = field(default=-1)

    @property
    def schedule(self) -> CubicSchedule:
        return CubicSchedule(self.config.initial_warmup, self.config.final_warmup)

    def before_step(self, training: Training) -> None:
        """Plain first-order scores are no part of what the optimizer moves, clips or decays."""
        if self.config.score_learning_rate is not None:
            return
        rate = training.optimizer.param_groups[0]["lr"]
        for layer in self.layers.values():
            if layer.scores is not None and layer.scores.grad is not None:
                self._move(layer.scores.data, layer.scores.grad, rate)
                layer.scores.grad = None

    def _move(self, scores: Tensor, gradient: Tensor, rate: float) -> None:
        if self.config.scores == "sensitivity":
            scores.lerp_(gradient.abs(), 1 - self.config.smoothing)
        else:
            scores.sub_(gradient, alpha=rate)

    def after_step(self, training: Training) -> None:
        self._done, self._steps = training.step + 1, training.steps
        if self.config.selection == "matrix":
            self._choose_by_matrix()
        else:
            self._choose_together()

    def _choose_by_matrix(self) -> None:
        for name, layer in self.layers.items():
            layer.mask.copy_(top(layer.standing(), self._count(name)))

    def _choose_together(self) -> None:
        scores = [layer.standing() for layer in self.layers.values()]
        masks = top_of_all(scores, sum(map(self._count, self.layers)))
        for layer, mask in zip(self.layers.values(), masks, strict=True):
            layer.mask.copy_(mask)

    def _count(self, name: str) -> int:
        before = self.layers[name].weight.numel()
        return self.schedule.kept(before, self.kept[name], self._done, self._steps)

    @property
    def is_settled(self) -> bool:
        """As few weights are left as shall be."""
        return self._done > 0 and self.schedule.excess(self._done, self._steps) == 0

    def values(self) -> dict[str, float]:
        return {"sparsity": 1 - self._left() / sum(m.numel() for m in self._masks())}

    def _masks(self) -> list[Tensor]:
        return [layer.mask for layer in self.layers.values()]

    def _left(self) -> int:
        return sum(map(self._count, self.layers))

    def structure(self) -> Sequence[LayerStructure]:
        due = self._done // ceil(self._steps / RANKS_LOOKED_AT)
        tells = due > self._ranks_told or self._done == self._steps
        self._ranks_told = due
        return [
            LayerStructure(
                name=name,
                rank=numerical_rank(layer.effective_weight().detach()) if tells else None,
                sparsity=1 - float(layer.mask.float().mean()),
            )
            for name, layer in self.layers.items()
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"done": self._done, "steps": self._steps, "ranks_told": self._ranks_told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._done, self._steps = state["done"], state["steps"]
        self._ranks_told = state["ranks_told"]


@dataclass(frozen=True)
class PruningOptimizer:
    """AdamW over all but the scores, which Adam moves at a rate of their own, or the hook."""

    layers: Mapping[str, PrunedLinear]

    def __call__(self, model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
        assert isinstance(config, Pruning)
        scores = [layer.scores for layer in self.layers.values() if layer.scores is not None]
        for each in scores:
            each.requires_grad_(False)
        optimizer = adamw(model, config)
        for each in scores:
            each.requires_grad_(True)
        if scores and config.score_learning_rate is not None:
            scale = config.score_learning_rate / config.learning_rate
            optimizer.add_param_group({"params": scores, "weight_decay": 0.0, "scale": scale})
        return optimizer
