"""Ranks that fall while a model trains: RankDyna.

Hua, Hsu, Wang, Lou, Shen & Jin, Dynamic low-rank estimation for Transformer-based language models,
Findings of EMNLP 2023; its abstract and its patent's were read, the rest is rebuilt. Every target
layer is a sum of units W = Σ_i s_i u_i v_iᵀ (see `units`). A unit's importance in a step is

    first_order   |s_i ∂L/∂s_i|, the limit of |L(s_i) − L((1 − ε) s_i)| / ε for ε → 0,
    group         |s_i ∂L/∂s_i| + Σ |u_i ∂L/∂u_i| + Σ |v_i ∂L/∂v_i|,

averaged over steps, Ī ← β Ī + (1 − β) I. With `uncertainty` it is weighted as in AdaLoRA (Zhang et
al., ICLR 2023), by Ū ← β Ū + (1 − β) |I − Ī|: the score is Ī Ū. After each step the units of lowest
score per parameter, Ī_i / (out + in), are deleted over all layers together until the others fit

    b_t = b_T + (b_0 − b_T) (1 − p)³,     b_0 = Σ min(out, in) (out + in)

(see `cubic`). A layer of rank r is charged c(r) = r (out + in). Above break-even it will be stored
dense, and more and more of the difference is remitted, (1 − (1 − p)³) (c(r) − out · in), so that at
the end the budget is met by what is stored. No layer falls below its floor, and nothing returns.
Once an eighth of a layer's units are deleted, and at the schedule's end, they leave its parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core.compression.finetuning.cubic import CubicSchedule
from core.compression.finetuning.protocol import Hook, Objective, Training
from core.compression.finetuning.units import UnitLinear, distance_from_orthogonal
from core.compression.tasks.batches import Batch
from core.recipe.dynamic_ranks import DynamicRanks
from core.recipe.events import LayerStructure

MILESTONE = 1 / 8
"""The share of a layer's units that are gone when they leave its parameters."""


@dataclass
class Averages:
    """Of one layer's units: [r]."""

    importance: Float[Tensor, "r"]
    uncertainty: Float[Tensor, "r"]

    @classmethod
    def zeros(cls, layer: UnitLinear) -> "Averages":
        return cls(torch.zeros_like(layer.s.detach()), torch.zeros_like(layer.s.detach()))

    def see(self, importance: Float[Tensor, "r"], config: DynamicRanks) -> None:
        new = 1 - config.smoothing
        self.importance.lerp_(importance, new)
        self.uncertainty.lerp_((importance - self.importance).abs(), new)

    def score(self, config: DynamicRanks) -> Float[Tensor, "r"]:
        return self.importance * self.uncertainty if config.uncertainty else self.importance

    def __getitem__(self, kept: Bool[Tensor, "r"]) -> "Averages":
        return Averages(self.importance[kept], self.uncertainty[kept])


@dataclass
class DynamicRanksHook(Hook):
    layers: Mapping[str, UnitLinear]
    allowance: int
    """b_T: parameters of all units at the end."""
    floor: int
    """The rank below which no layer falls."""
    config: DynamicRanks
    averages: dict[str, Averages] = field(default_factory=dict)
    _start: int = 0
    _done: int = 0
    _steps: int = 1

    def __post_init__(self) -> None:
        self.averages = {name: Averages.zeros(layer) for name, layer in self.layers.items()}
        self._start = self.params()

    @property
    def schedule(self) -> CubicSchedule:
        return CubicSchedule(self.config.initial_warmup, self.config.final_warmup)

    def params(self) -> int:
        """In the units that are left."""
        return sum(layer.rank * layer.unit_cost for layer in self.layers.values())

    def charged(self) -> float:
        """What counts against the budget by now."""
        return sum(self._charge(layer).of(layer.rank) for layer in self.layers.values())

    def _charge(self, layer: UnitLinear) -> "Charge":
        remitted = 1 - self.schedule.excess(self._done, self._steps)
        return Charge(layer.unit_cost, layer.u.shape[0] * layer.vt.shape[1], remitted)

    @torch.no_grad()
    def before_step(self, training: Training) -> None:
        for name, layer in self.layers.items():
            self.averages[name].see(importance(layer, self.config), self.config)

    def after_step(self, training: Training) -> None:
        self._done, self._steps = training.step + 1, training.steps
        self._delete(training)
        for name, layer in self.layers.items():
            deleted = len(layer.live) - layer.rank
            if deleted and (self.is_settled or deleted >= MILESTONE * len(layer.live)):
                self.averages[name] = self.averages[name][layer.shrink(training)]

    def _delete(self, training: Training) -> None:
        budget = self.schedule.kept(
            self._start, min(self.allowance, self._start), self._done, self._steps
        )
        if self.charged() <= budget:
            return
        scores = [self.averages[name].score(self.config) for name in self.layers]
        layers = list(self.layers.values())
        charges = [self._charge(layer) for layer in layers]
        live = [layer.live for layer in layers]
        doomed = least_worth(live, scores, charges, budget, self.floor)
        for layer, units in zip(layers, doomed, strict=True):
            if units.any():
                layer.delete(units, training)

    @property
    def is_settled(self) -> bool:
        """The ranks are those of the result."""
        return self._done > 0 and self.schedule.excess(self._done, self._steps) == 0

    def values(self) -> dict[str, float]:
        dense = sum(layer.u.shape[0] * layer.vt.shape[1] for layer in self.layers.values())
        return {"units_ratio": self.params() / dense}

    def structure(self) -> Sequence[LayerStructure]:
        return [LayerStructure(name=name, rank=layer.rank) for name, layer in self.layers.items()]

    def state_dict(self) -> dict[str, Any]:
        return {
            "done": self._done,
            "steps": self._steps,
            "averages": {
                name: [each.importance, each.uncertainty] for name, each in self.averages.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._done, self._steps = state["done"], state["steps"]
        for name, (important, uncertain) in state["averages"].items():
            device = self.layers[name].s.device
            self.averages[name] = Averages(important.to(device), uncertain.to(device))


def importance(layer: UnitLinear, config: DynamicRanks) -> Float[Tensor, "r"]:
    """Of this step's gradients; zero where a layer took no part."""
    if layer.s.grad is None:
        return torch.zeros_like(layer.s)
    first_order = (layer.s * layer.s.grad).abs()
    if config.importance == "first_order":
        return first_order
    assert layer.u.grad is not None
    assert layer.vt.grad is not None
    of_u = (layer.u * layer.u.grad).abs().sum(0)
    of_v = (layer.vt * layer.vt.grad).abs().sum(1)
    return first_order + of_u + of_v


@dataclass(frozen=True)
class Charge:
    """What a layer's rank counts for."""

    unit_cost: int
    dense: int
    remitted: float
    """The share of what is above dense that does not count."""

    def of(self, rank: int) -> float:
        return rank * self.unit_cost - self.remitted * max(0, rank * self.unit_cost - self.dense)

    def freed(self, rank: int) -> Float[Tensor, "rank"]:
        """By one deletion after the other, from this rank down to none."""
        charges = [self.of(left) for left in range(rank, -1, -1)]
        return -torch.tensor(charges, dtype=torch.float64).diff()


def least_worth(
    live: Sequence[Bool[Tensor, "r"]],
    scores: Sequence[Float[Tensor, "r"]],
    charges: Sequence[Charge],
    budget: float,
    floor: int,
) -> list[Bool[Tensor, "r"]]:
    """The fewest units, lowest score per parameter first, without which the others fit the budget;
    the `floor` best of every layer are not among them."""
    free = [units & ~best(units, score, floor) for units, score in zip(live, scores, strict=True)]
    worth = [score.double() / each.unit_cost for score, each in zip(scores, charges, strict=True)]
    layer_of = torch.cat(
        [torch.full_like(units, n, dtype=torch.long) for n, units in enumerate(live)]
    )
    candidates = torch.cat(free).nonzero()[:, 0]
    order = candidates[torch.cat(worth)[candidates].argsort(stable=True)]
    ranks = [int(units.sum()) for units in live]
    freed = torch.zeros(len(order), dtype=torch.float64)
    for number, (rank, charge) in enumerate(zip(ranks, charges, strict=True)):
        its_own = (layer_of[order] == number).nonzero()[:, 0].cpu()
        freed[its_own] = charge.freed(rank)[: len(its_own)]
    excess = sum(charge.of(rank) for rank, charge in zip(ranks, charges, strict=True)) - budget
    count = int((freed.cumsum(0) < excess).sum()) + 1 if excess > 0 else 0
    doomed = torch.zeros_like(torch.cat(free))
    doomed[order[:count]] = True
    return list(torch.split(doomed, [len(units) for units in live]))


def best(live: Bool[Tensor, "r"], score: Float[Tensor, "r"], count: int) -> Bool[Tensor, "r"]:
    """The `count` live units of highest score; among equals the first."""
    ranked = torch.where(live, score, -torch.inf).argsort(descending=True, stable=True)
    found = torch.zeros_like(live)
    found[ranked[:count]] = True
    return found & live


@dataclass(frozen=True)
class KeptOrthogonal:
    """An objective with γ (Σ ‖UᵀU − I‖² + ‖VᵀV − I‖²) beside every row's loss."""

    losses: Objective
    layers: Mapping[str, UnitLinear]
    weight: float

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.losses(model, batch) + self.weight * distance_from_orthogonal(self.layers)
