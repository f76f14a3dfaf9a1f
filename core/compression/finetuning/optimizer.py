"""AdamW over a model's parameters, in groups that may go at a pace of their own."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from core.recipe.training import TrainingConfig

MakeOptimizer: TypeAlias = Callable[[nn.Module, TrainingConfig], torch.optim.Optimizer]
"""Where a group of the optimizer holds a `scale`, its rate is so many times the schedule's."""


def adamw(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Biases and norms do not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def replaced_in_optimizer(
    optimizer: torch.optim.Optimizer,
    old: nn.Parameter,
    new: nn.Parameter,
    take: Callable[[Tensor], Tensor],
) -> None:
    """The new parameter takes the old one's place, with what `take` keeps of its moments."""
    for group, place in _places(optimizer, old):
        group["params"][place] = new
    if old in optimizer.state:
        state = optimizer.state.pop(old)
        optimizer.state[new] = {
            name: take(value) if _is_moment(value, old) else value for name, value in state.items()
        }


def _places(
    optimizer: torch.optim.Optimizer, parameter: nn.Parameter
) -> Iterator[tuple[dict[str, Any], int]]:
    for group in optimizer.param_groups:
        for place, held in enumerate(group["params"]):
            if held is parameter:
                yield group, place


def _is_moment(value: Any, parameter: nn.Parameter) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape
