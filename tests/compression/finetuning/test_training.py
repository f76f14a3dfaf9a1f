import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.compression.finetuning.checkpoint import CheckpointFolder, Score
from core.compression.finetuning.distill import Distillation
from core.compression.finetuning.schedule import Schedule, step_seed
from core.compression.finetuning.training import Objective, Reports, TrainingReport, train
from core.compression.models.loading import load_model
from core.compression.progress import Checkpointed, Notice, Progress
from core.compression.tasks.batches import Batch, make_batch, reading_batches
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import divergence
from core.errors import DeviceMemoryError, NumericalError
from core.recipe.training import DistillFinetune, TrainingConfig
from tests.compression.tasks.reading import SINGLE, classified
from tests.compression.tiny_models import save_classifier, sentences

NAMES = ("bad", "good")
CONFIG = TrainingConfig(epochs=2, batch_size=8, learning_rate=5e-3)
SEED = 5
task_loss = SINGLE.training_losses


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    return classified(sentences(60), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "model", NAMES)


def fresh(folder: Path) -> nn.Module:
    return load_model(folder, SINGLE.auto_class, NAMES).model


def scored_on(examples: Examples) -> Any:
    @torch.no_grad()
    def validate(model: nn.Module) -> Generator[Progress, None, Score]:
        right, loss = 0.0, 0.0
        for batch in reading_batches(examples, 32, "cpu"):
            logits = model(**batch.inputs).logits
            right += float((logits.argmax(1) == batch.labels).sum())
            loss += float(task_loss(model, batch).sum())
            yield Progress(1, 1, "validation row")
        return Score(right / len(examples), -loss / len(examples))

    return validate


def training(
    model: nn.Module,
    examples: Examples,
    checkpoints: Path,
    config: TrainingConfig = CONFIG,
    objective: Objective = task_loss,
    every: float = 1e9,
    validate: Any = None,
) -> Generator[Reports, None, TrainingReport]:
    saved = CheckpointFolder(checkpoints, every)
    scoring = validate or scored_on(examples)
    return train(model, examples, objective, scoring, config, saved, seed=SEED)


def finish(
    work: Generator[Reports, None, TrainingReport], reports: list[Reports] | None = None
) -> TrainingReport:
    while True:
        try:
            report = next(work)
        except StopIteration as finished:
            outcome: TrainingReport = finished.value
            return outcome
        if reports is not None:
            reports.append(report)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


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
    steps = [r for r in reports if isinstance(r, Progress) and r.unit == "step"]
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
    scores = iter([Score(0.9, -0.3), Score(0.5, -0.2), Score(0.9, -0.4)])

    def falling(model: nn.Module) -> Generator[Progress, None, Score]:
        yield Progress(1, 1, "validation row")
        return next(scores)

    report = finish(training(model, examples, tmp_path / "checkpoints", validate=falling))
    assert report.best_epoch == 0
    assert report.after == report.before == Score(0.9, -0.3)
    assert same(model, start)


def test_the_best_epoch_is_kept(folder: Path, examples: Examples, tmp_path: Path) -> None:
    scores = iter([Score(0.5, -1), Score(0.8, -0.6), Score(0.8, -0.5), Score(0.7, -0.1)])
    kept: list[dict[str, Tensor]] = []

    def scripted(model: nn.Module) -> Generator[Progress, None, Score]:
        kept.append({name: p.detach().clone() for name, p in model.named_parameters()})
        yield Progress(1, 1, "validation row")
        return next(scores)

    model = fresh(folder)
    config = TrainingConfig(epochs=3, batch_size=8, learning_rate=5e-3)
    report = finish(training(model, examples, tmp_path / "c", config, validate=scripted))
    assert report.best_epoch == 2
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


def test_the_rate_climbs_and_falls_linearly() -> None:
    schedule = Schedule.of(TrainingConfig(epochs=2, batch_size=10, warmup_ratio=0.2), examples=95)
    rates = [schedule.learning_rate(step) / schedule.peak for step in range(20)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[4:] == pytest.approx(np.linspace(1, 1 / 16, 16))


def test_every_step_has_a_seed_of_its_own() -> None:
    seeds = {step_seed(seed, step) for seed in range(10) for step in range(100)}
    assert len(seeds) == 1000
    assert step_seed(3, 4) == step_seed(3, 4)
