"""What holds for every task: padding is invisible, Fisher sums are autograd's one at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.compression.evaluation.predictions import predict
from core.compression.finetuning.distill import Distillation
from core.compression.statistics.statistics_pass import StatisticsPass
from core.compression.tasks.batches import Batch, make_batch
from core.compression.tasks.registry import TASK_KINDS
from core.recipe.statistics import FisherKind, Statistic
from core.recipe.training import DistillFinetune
from tests.compression.tasks.tiny_tasks import TinyTask, tiny_task, uneven

FISHER = frozenset({Statistic.FISHER_IN, Statistic.FISHER_OUT})
WITH_LABELS = sorted(set(TASK_KINDS) - {"embedding"})


@pytest.fixture
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> TinyTask:
    return tiny_task(request.param, tmp_path)


def all_tasks(names: Any = TASK_KINDS) -> Any:
    return pytest.mark.parametrize("tiny", sorted(names), indirect=True)


def one_by_one(tiny: TinyTask) -> list[Batch]:
    return [make_batch(tiny.examples, np.array([row]), "cpu") for row in uneven(tiny.examples)]


def answered(tiny: TinyTask, batch_size: int) -> Any:
    work = predict(tiny.model, tiny.kind, tiny.examples, batch_size)
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value


@all_tasks()
def test_padding_changes_no_output_and_no_metric(tiny: TinyTask) -> None:
    together, alone = answered(tiny, 64), answered(tiny, 1)
    found = [tiny.kind.metrics(o, tiny.examples, together) for o in (together, alone)]
    for metric, other in zip(*found, strict=True):
        assert metric.value == pytest.approx(other.value, abs=1e-9)
    assert found[0][0].name == tiny.kind.headline


@all_tasks()
def test_a_budget_can_name_every_metric_that_is_measured(tiny: TinyTask) -> None:
    dense = answered(tiny, 64)
    measured = {metric.name for metric in tiny.kind.metrics(dense, tiny.examples, dense)}
    assert measured == set(tiny.kind.config.metric_names)


@all_tasks(WITH_LABELS)
def test_padding_changes_no_loss(tiny: TinyTask) -> None:
    batch = make_batch(tiny.examples, uneven(tiny.examples), "cpu")
    together = tiny.kind.losses(tiny.model(**batch.inputs), batch)
    alone = [tiny.kind.losses(tiny.model(**b.inputs), b) for b in one_by_one(tiny)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert bool((together > 0).all())


@all_tasks(WITH_LABELS)
def test_the_loss_metric_in_its_unit_is_the_mean_loss_of_an_example(tiny: TinyTask) -> None:
    metrics = tiny.kind.metrics(answered(tiny, 64), tiny.examples, None)
    (metric,) = (metric for metric in metrics if metric.name == tiny.kind.loss_metric)
    unit = tiny.kind.loss_unit(tiny.examples)
    assert unit is not None
    losses = [tiny.kind.losses(tiny.model(**batch.inputs), batch) for batch in one_by_one(tiny)]
    assert unit * metric.value == pytest.approx(float(torch.cat(losses).mean()), rel=1e-9)


def test_a_distance_from_the_model_itself_has_no_unit(tmp_path: Path) -> None:
    tiny = tiny_task("embedding", tmp_path)
    assert tiny.kind.loss_unit(tiny.examples) is None


def fisher_sums(
    tiny: TinyTask, batches: list[Batch], kind: FisherKind
) -> dict[str, dict[Statistic, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    with StatisticsPass(tiny.model, dict.fromkeys(tiny.targets, FISHER)) as statistics_pass:
        for batch in batches:
            statistics_pass.update(
                batch.inputs,
                lambda model, _, batch=batch: tiny.kind.fisher_losses(
                    model, batch, kind, generator
                ),
            )
        return {name: layer.sums for name, layer in statistics_pass.statistics().items()}


@all_tasks(WITH_LABELS)
def test_fisher_sums_are_those_of_autograd_one_example_at_a_time(tiny: TinyTask) -> None:
    found = fisher_sums(
        tiny, [make_batch(tiny.examples, uneven(tiny.examples), "cpu")], "empirical"
    )
    expected = {name: torch.zeros_like(layer.weight) for name, layer in tiny.targets.items()}
    for batch in one_by_one(tiny):
        loss = tiny.kind.losses(tiny.model(**batch.inputs), batch).sum()
        for name, layer in tiny.targets.items():
            (g,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
            expected[name] += g.square()
    for name, fisher in expected.items():
        torch.testing.assert_close(found[name][Statistic.FISHER_IN], fisher.sum(0))
        torch.testing.assert_close(found[name][Statistic.FISHER_OUT], fisher.sum(1))
        assert fisher.max() > 0


@all_tasks()
def test_the_true_fisher_is_seen_by_every_layer(tiny: TinyTask) -> None:
    batch = make_batch(tiny.examples, uneven(tiny.examples), "cpu")
    sums = fisher_sums(tiny, [batch], "true")
    assert len(sums) == len(tiny.targets) >= 12
    assert all(float(layer[Statistic.FISHER_OUT].sum()) > 0 for layer in sums.values())


@all_tasks()
def test_a_perfect_student_is_taught_nothing_new(tiny: TinyTask) -> None:
    config = DistillFinetune(task_weight=0.0, logits_weight=2.0, hidden_weight=3.0)
    batch = make_batch(tiny.examples, uneven(tiny.examples), "cpu")
    losses = Distillation(tiny.kind, tiny.model, config)(tiny.model, batch)
    torch.testing.assert_close(losses, torch.zeros_like(losses), atol=1e-12, rtol=0)


@all_tasks()
def test_another_student_is_taught_by_outputs_alone(tiny: TinyTask, tmp_path: Path) -> None:
    student = tiny_task_of(tiny, tmp_path)
    config = DistillFinetune(task_weight=0.0, logits_weight=1.0, hidden_weight=0.0)
    batch = make_batch(tiny.examples, uneven(tiny.examples), "cpu")
    losses = Distillation(tiny.kind, tiny.model, config)(student, batch)
    assert losses.shape == (len(batch),)
    assert bool((losses > 0).all())
    losses.sum().backward()
    weights = [p.grad for n, p in student.named_parameters() if ".layer" in f".{n}"]
    assert all(g is not None and bool(g.isfinite().all()) for g in weights)


def tiny_task_of(tiny: TinyTask, folder: Path) -> torch.nn.Module:
    """The same model with other weights."""
    (folder / "other").mkdir()
    other = tiny_task(tiny.kind.config.type, folder / "other").model
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return other


@all_tasks(WITH_LABELS)
def test_a_baseline_is_what_the_headline_gives_to_an_answer_without_input(tiny: TinyTask) -> None:
    baseline = tiny.kind.baseline(tiny.examples)
    assert baseline is not None
    assert baseline >= 0
    assert tiny.kind.trivial_answer
