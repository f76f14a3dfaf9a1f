import numpy as np
import pytest
import torch
from transformers import get_scheduler

from core.compression.finetuning.schedule import DECAYS, Schedule
from core.recipe.training import ScheduleName, TrainingConfig

ORACLES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


@pytest.mark.parametrize("name", sorted(DECAYS))
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.2])
def test_rates_are_those_of_transformers(name: ScheduleName, warmup_ratio: float) -> None:
    """Which begins its warm-up at a rate of zero, a step that changes nothing; ours is one ahead
    in it."""
    config = TrainingConfig(epochs=2, batch_size=10, schedule=name, warmup_ratio=warmup_ratio)
    schedule = Schedule.of(config, examples=95)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=schedule.peak)
    oracle = get_scheduler(ORACLES[name], optimizer, schedule.warmup, schedule.steps)
    theirs = []
    for _ in range(schedule.steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()
    ours = [schedule.learning_rate(step) for step in range(schedule.steps)]
    assert ours[schedule.warmup :] == pytest.approx(theirs[schedule.warmup :])
    assert ours[: schedule.warmup] == pytest.approx(theirs[1 : schedule.warmup + 1])


def test_the_rate_climbs_and_falls_linearly() -> None:
    schedule = Schedule.of(TrainingConfig(epochs=2, batch_size=10, warmup_ratio=0.2), examples=95)
    rates = [schedule.learning_rate(step) / schedule.peak for step in range(20)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[4:] == pytest.approx(np.linspace(1, 1 / 16, 16))
