"""The kinds of recovery by their config's name: an objective, and the hooks that go with it.

plain        the task's own losses, as in the papers
distill      the dense model teaches (see `distill`)
alternating  the same, one factor of every layer at a time (see `alternation`)
mixed_rank   the pruned weights beside the factors, ever less often (see `mixed_rank`)
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from core.compression.finetuning.alternation import Alternation
from core.compression.finetuning.distill import Distillation
from core.compression.finetuning.mixed_rank import MixedRank
from core.compression.finetuning.protocol import Hook, Objective
from core.compression.tasks.kind import TaskKind
from core.recipe.training import (
    AlternatingFinetune,
    DistillationConfig,
    MixedRankFinetune,
    RecoveryConfig,
)


@dataclass(frozen=True)
class Recovery:
    objective: Objective
    hooks: tuple[Hook, ...] = ()
    around: Callable[[nn.Module], AbstractContextManager[None]] = lambda model: nullcontext()
    """What has to stand in the model while it trains."""


def recovery(
    config: RecoveryConfig,
    task: TaskKind[Any],
    load_teacher: Callable[[], nn.Module],
    load_sparse: Callable[[], Mapping[str, Tensor]],
) -> Recovery:
    """`load_sparse` gives the pruned weight of every factorized layer."""
    if isinstance(config, MixedRankFinetune):
        mixed = MixedRank(task, load_sparse(), config)
        return Recovery(mixed, (mixed,), mixed.in_place)
    if not isinstance(config, DistillationConfig):
        return Recovery(task.training_losses)
    distillation = Distillation(task, load_teacher().eval(), config)
    if isinstance(config, AlternatingFinetune):
        return Recovery(distillation, (Alternation(config.turn_steps),))
    return Recovery(distillation)
