"""The kinds of recovery by their config's name: an objective, and the hooks that go with it.

plain        the task's own losses, as in the papers
distill      the dense model teaches (see `distill`)
alternating  the same, one factor of every layer at a time (see `alternation`)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from core.compression.finetuning.alternation import Alternation
from core.compression.finetuning.distill import Distillation
from core.compression.finetuning.protocol import Hook, Objective
from core.compression.tasks.kind import TaskKind
from core.recipe.training import AlternatingFinetune, DistillationConfig, RecoveryConfig


@dataclass(frozen=True)
class Recovery:
    objective: Objective
    hooks: tuple[Hook, ...] = ()


def recovery(
    config: RecoveryConfig, task: TaskKind[Any], load_teacher: Callable[[], nn.Module]
) -> Recovery:
    if not isinstance(config, DistillationConfig):
        return Recovery(task.training_losses)
    distillation = Distillation(task, load_teacher().eval(), config)
    if isinstance(config, AlternatingFinetune):
        return Recovery(distillation, (Alternation(config.turn_steps),))
    return Recovery(distillation)
