import shutil
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.compression.finetuning.distill import Distillation
from core.compression.finetuning.protocol import Objective
from core.compression.finetuning.schedule import step_seed
from core.compression.finetuning.score import Score
from core.compression.finetuning.training import Reports
from core.compression.progress import Checkpointed, Notice, Progress, Validated
from core.compression.tasks.batches import Batch, make_batch
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import divergence
from core.errors import DeviceMemoryError, NumericalError
from core.recipe.training import DistillFinetune, TrainingConfig
from tests.compression.finetuning.trainings import (
    CONFIG,
    finish,
    fresh,
    same,
    scripted,
    steps_of,
    task_loss,
    training,
)
from tests.compression.tasks.reading import SINGLE


def undisturbed(folder: Path, examples: Examples, checkpoints: Path) -> nn.Module:
    model = fresh(folder)
    finish(training(model, examples, checkpoints))
    return model


def test_training_learns_and_reports_every_step(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    model = fresh(folder)
    config = TrainingConfig(epochs=12, batch_size=10, learning_rate=3e-3)
    reports: list[Reports] = []
    outcome = finish(training(model, examples, tmp_path / "c", config), reports)
    steps = steps_of(reports)
    assert [step.done for step in steps] == list(range(1, 73))
    assert steps[0].total == 72
    assert steps[-1].values["loss"] < 0.2 < steps[0].values["loss"]
    assert outcome.after.value > 0.95 > outcome.before.value
    assert not model.training


@pytest.mark.parametrize("stop_after", [1, 5, 9, 12, 21])
def test_a_closed_and_resumed_run_equals_an_undisturbed_one(
    folder: Path, examples: Examples, tmp_path: Path, stop_after: int
) -> None:
    expected = undisturbed(folder, examples, tmp_path / "undisturbed")
    work = training(fresh(folder), examples, tmp_path / "checkpoints")
    for _ in range(stop_after):
        next(work)
    torch.rand(3)  # somebody else draws random numbers meanwhile
    work.close()
    resumed = fresh(folder)
    finish(training(resumed, examples, tmp_path / "checkpoints"))
    assert same(resumed, expected)


def test_a_killed_run_goes_on_from_its_last_timed_checkpoint(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    expected = undisturbed(folder, examples, tmp_path / "undisturbed")
    work = training(fresh(folder), examples, tmp_path / "checkpoints", every=0.0)
    seen: list[Reports] = []
    while not (seen and isinstance(seen[-1], Checkpointed) and seen[-1].step == 11):
        seen.append(next(work))
    shutil.copytree(tmp_path / "checkpoints", tmp_path / "left behind")
    resumed = fresh(folder)
    again = training(resumed, examples, tmp_path / "left behind")
    first = next(again)
    assert isinstance(first, Progress)
    assert first.done == 12
    finish(again)
    assert same(resumed, expected)


def test_accumulation_gives_the_same_gradients(folder: Path, examples: Examples) -> None:
    model = fresh(folder).eval()
    batch = make_batch(examples, np.arange(10), "cpu")
    (task_loss(model, batch).sum() / 10).backward()  # type: ignore[no-untyped-call]
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    for part in batch.parts(3):
        (task_loss(model, part).sum() / 10).backward()  # type: ignore[no-untyped-call]
    parts = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole, parts, strict=True))


def test_training_never_ends_below_where_it_started(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    start, model = fresh(folder), fresh(folder)
    falling = scripted(Score(0.9, -0.3), Score(0.5, -0.2), Score(0.9, -0.4))
    reports: list[Reports] = []
    work = training(model, examples, tmp_path / "checkpoints", validate=falling)
    report = finish(work, reports)
    assert report.keeps_start
    assert report.as_json()["start_kept"] is True
    assert report.after == report.before == Score(0.9, -0.3)
    assert same(model, start)
    assert [v.best for v in reports if isinstance(v, Validated)] == [True, False, False]


def test_patience_ends_a_training_that_gains_nothing(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    scores = [0.5, 0.6, 0.55, 0.58, 0.9]
    config = CONFIG.model_copy(update={"validate_steps": 3, "patience": 2})
    reports: list[Reports] = []
    work = training(
        fresh(folder),
        examples,
        tmp_path / "c",
        config,
        validate=scripted(*(Score(value, 0.0) for value in scores)),
    )
    report = finish(work, reports)
    assert (report.best_step, report.steps, report.planned_steps) == (3, 9, 16)
    assert [v.step for v in reports if isinstance(v, Validated)] == [0, 3, 6, 9]
    (notice,) = [r for r in reports if isinstance(r, Notice)]
    assert "after step 9 of 16" in notice.message


def test_patience_begins_anew_with_every_gain(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    rising = scripted(*(Score(value, 0.0) for value in (0.5, 0.4, 0.6, 0.5, 0.7)))
    config = CONFIG.model_copy(update={"validate_steps": 4, "patience": 2})
    report = finish(training(fresh(folder), examples, tmp_path / "c", config, validate=rising))
    assert (report.best_step, report.steps) == (16, 16)


def test_a_score_that_is_not_finite_is_an_error(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    broken = scripted(Score(0.5, -1.0), Score(0.5, float("nan")))
    with pytest.raises(NumericalError, match="After step 8"):
        finish(training(fresh(folder), examples, tmp_path / "c", validate=broken))


def test_the_best_epoch_is_kept(folder: Path, examples: Examples, tmp_path: Path) -> None:
    scores = iter([Score(0.5, -1), Score(0.8, -0.6), Score(0.8, -0.5), Score(0.7, -0.1)])
    kept: list[dict[str, Tensor]] = []

    def listening(model: nn.Module) -> Generator[Progress, None, Score]:
        kept.append({name: p.detach().clone() for name, p in model.named_parameters()})
        yield Progress(1, 1, "validation row")
        return next(scores)

    model = fresh(folder)
    config = TrainingConfig(epochs=3, batch_size=8, learning_rate=5e-3)
    report = finish(training(model, examples, tmp_path / "c", config, validate=listening))
    assert report.best_step == 16
    assert all(torch.equal(p, kept[2][name]) for name, p in model.named_parameters())


def out_of_memory_above(rows: int) -> Objective:
    def objective(model: nn.Module, batch: Batch) -> Tensor:
        if len(batch) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return task_loss(model, batch)

    return objective


def test_out_of_memory_halves_the_batch_once_and_says_so(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    model = fresh(folder)
    work = training(model, examples, tmp_path / "c", objective=out_of_memory_above(4))
    seen: list[Reports] = []
    seen.extend(work)
    notices = [report for report in seen if isinstance(report, Notice)]
    assert [notice.level for notice in notices] == ["warning"]
    assert "2 parts" in notices[0].message


def test_out_of_memory_twice_is_an_error(folder: Path, examples: Examples, tmp_path: Path) -> None:
    work = training(fresh(folder), examples, tmp_path / "c", objective=out_of_memory_above(3))
    with pytest.raises(DeviceMemoryError):
        finish(work)


def test_a_loss_that_is_not_finite_is_an_error_that_names_parameters(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    def diverging(model: nn.Module, batch: Batch) -> Tensor:
        return task_loss(model, batch) * float("inf")

    with pytest.raises(NumericalError, match="gradients of bert"):
        finish(training(fresh(folder), examples, tmp_path / "c", objective=diverging))


def test_a_perfect_student_is_taught_nothing_but_the_task(folder: Path, examples: Examples) -> None:
    teacher, student = fresh(folder), fresh(folder)
    batch = make_batch(examples, np.arange(10), "cpu")
    config = DistillFinetune(task_weight=0.5, logits_weight=2.0, hidden_weight=3.0)
    losses = Distillation(SINGLE, teacher, config)(student, batch)
    assert torch.allclose(losses, 0.5 * task_loss(student, batch), atol=1e-6)


def test_distillation_does_not_see_padding(folder: Path, examples: Examples) -> None:
    teacher, student = fresh(folder), fresh(folder)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.05)
    objective = Distillation(SINGLE, teacher, DistillFinetune())
    rows = np.argsort(examples.lengths)[[0, 1, -1]]
    together = objective(student, make_batch(examples, rows, "cpu"))
    alone = torch.cat(
        [objective(student, make_batch(examples, rows[[i]], "cpu")) for i in range(3)]
    )
    assert torch.allclose(together, alone, atol=1e-5)
    assert bool((alone > task_loss(student, make_batch(examples, rows, "cpu")) * 0.5).all())


def test_divergence_is_kullback_leibler() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    expected = (p * (p / q).log()).sum()
    assert torch.allclose(divergence(p.log()[None], q.log()[None] + 3), expected[None])


def test_every_step_has_a_seed_of_its_own() -> None:
    seeds = {step_seed(seed, step) for seed in range(10) for step in range(100)}
    assert len(seeds) == 1000
    assert step_seed(3, 4) == step_seed(3, 4)
