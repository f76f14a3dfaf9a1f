"""Scores against autograd and finite differences, masks of exact size, and resumed prunings."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from core.compression.finetuning.pruning import (
    PrunedLinear,
    PruningHook,
    PruningOptimizer,
    put_pruned,
    take_pruned,
    top,
    top_of_all,
)
from core.compression.finetuning.training import Reports, TrainingReport
from core.compression.models.layers import layers_at, linear_layer, replace_layers
from core.compression.progress import Structure, Validated
from core.compression.tasks.batches import Batch
from core.compression.tasks.examples import Examples
from core.recipe.pruning import Pruning
from tests.compression.finetuning.trainings import finish, fresh, same, task_loss, training

CONFIG = Pruning(epochs=3, batch_size=8, learning_rate=5e-3, initial_warmup=0.1, final_warmup=0.4)


def pruned_linear(scored: bool = True) -> PrunedLinear:
    torch.manual_seed(3)
    layer = PrunedLinear(nn.Linear(5, 4).double(), scored)
    layer.mask.copy_(top(torch.rand(4, 5), 9))
    return layer


def test_a_pruned_layer_is_its_masked_weight() -> None:
    layer, x = pruned_linear(), torch.randn(7, 5).double()
    masked = layer.weight * layer.mask
    torch.testing.assert_close(layer(x), F.linear(x, masked, layer.bias))
    assert layer.effective_weight().count_nonzero() == 9


@pytest.mark.parametrize("scored", [True, False])
def test_gradients_are_those_of_the_effective_weight(scored: bool) -> None:
    """∂L/∂W_eff by finite differences of a loss that is not linear, pruned places too."""
    layer, x = pruned_linear(scored), torch.randn(7, 5).double()

    def loss(effective: Tensor) -> Tensor:
        return torch.tanh(F.linear(x, effective, layer.bias)).square().sum()

    loss(layer.effective_weight()).backward()
    effective, step = layer.effective_weight().detach(), 1e-6
    expected = torch.zeros_like(effective)
    for i, j in np.ndindex(4, 5):
        moved = torch.zeros_like(effective)
        moved[i, j] = step
        expected[i, j] = (loss(effective + moved) - loss(effective - moved)).item() / (2 * step)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, expected * layer.mask, atol=1e-7, rtol=1e-6)
    if layer.scores is not None:
        assert layer.scores.grad is not None
        scores = expected * layer.weight.detach()
        torch.testing.assert_close(layer.scores.grad, scores, atol=1e-7, rtol=1e-6)
        assert (layer.scores.grad[~layer.mask] != 0).all()


def test_top_is_exact_and_takes_the_first_among_equals() -> None:
    scores = torch.tensor([[1.0, 3.0, 1.0], [2.0, 1.0, 1.0]])
    assert torch.equal(top(scores, 3), torch.tensor([[True, True, False], [True, False, False]]))
    for count in range(7):
        assert int(top(torch.zeros(2, 3), count).sum()) == count


def test_top_is_a_sorted_prefix() -> None:
    scores = torch.randn(40, 30).round(decimals=1)
    order = scores.flatten().argsort(descending=True, stable=True).tolist()
    for count in (1, 357, 600, 1199):
        assert top(scores, count).flatten().nonzero().flatten().tolist() == sorted(order[:count])


def test_together_the_best_of_all_matrices_stay() -> None:
    masks = top_of_all([torch.tensor([[5.0, 1.0]]), torch.tensor([[4.0], [3.0]])], 3)
    assert [mask.tolist() for mask in masks] == [[[True, False]], [[True], [True]]]


class Case:
    """A tiny classifier whose layers lose all but a few of their weights."""

    def __init__(self, folder: Path, config: Pruning):
        self.model = fresh(folder)
        self.names = [
            name
            for name, layer in self.model.named_modules()
            if isinstance(layer, nn.Linear) and ".layer." in name
        ]
        sizes = {name: linear_layer(self.model, name).weight.numel() for name in self.names}
        self.kept = {name: size // 5 + place for place, (name, size) in enumerate(sizes.items())}
        self.own = layers_at(self.model, self.names)
        self.layers = put_pruned(self.model, self.names, config)
        self.hook = PruningHook(self.layers, self.kept, config)
        self.config = config
        self.reports: list[Reports] = []

    def finish(self, examples: Examples, folder: Path) -> TrainingReport:
        return finish(self.begin(examples, folder), self.reports)

    def begin(
        self, examples: Examples, folder: Path, **others: Any
    ) -> Generator[Reports, None, TrainingReport]:
        own = {
            "config": self.config,
            "hooks": [self.hook],
            "make_optimizer": PruningOptimizer(self.layers),
        }
        return training(self.model, examples, folder, **{**own, **others})

    def left(self) -> dict[str, int]:
        return {name: int(layer.mask.sum()) for name, layer in self.layers.items()}


VARIANTS = [
    CONFIG,
    CONFIG.model_copy(update={"scores": "magnitude"}),
    CONFIG.model_copy(update={"scores": "movement"}),
    CONFIG.model_copy(update={"scores": "movement", "score_learning_rate": 0.01}),
    CONFIG.model_copy(update={"accumulation": 2}),
]


@pytest.mark.parametrize("config", VARIANTS)
def test_the_end_of_the_schedule_is_met_exactly_by_every_matrix(
    folder: Path, examples: Examples, tmp_path: Path, config: Pruning
) -> None:
    case = Case(folder, config)
    report = case.finish(examples, tmp_path / "c")
    assert case.left() == case.kept
    replace_layers(case.model, case.own)
    take_pruned(case.model, case.layers)
    for name, count in case.kept.items():
        assert linear_layer(case.model, name).weight.count_nonzero() == count
    assert report.best_step >= 0.6 * report.steps, "a model that is too large is no result"
    structure = [r for r in case.reports if isinstance(r, Structure)][-1]
    assert {layer.name for layer in structure.layers} == set(case.names)
    for layer in structure.layers:
        size = case.layers[layer.name].mask.numel()
        assert layer.sparsity == pytest.approx(1 - case.kept[layer.name] / size)
        assert layer.rank is not None


def test_together_the_sum_is_met_exactly(folder: Path, examples: Examples, tmp_path: Path) -> None:
    case = Case(folder, CONFIG.model_copy(update={"selection": "global"}))
    case.finish(examples, tmp_path / "c")
    assert sum(case.left().values()) == sum(case.kept.values())
    assert case.left() != case.kept


@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("stop_after", [7, 20, 31])
def test_a_resumed_pruning_equals_an_undisturbed_one(
    folder: Path, examples: Examples, tmp_path: Path, config: Pruning, stop_after: int
) -> None:
    whole = Case(folder, config)
    whole.finish(examples, tmp_path / "whole")
    broken = Case(folder, config)
    work = broken.begin(examples, tmp_path / "broken")
    for _ in range(stop_after):
        next(work)
    torch.rand(3)
    work.close()
    resumed = Case(folder, config)
    resumed.finish(examples, tmp_path / "broken")
    assert same(resumed.model, whole.model)
    assert resumed.left() == whole.left()
    one, other = (
        [r for r in case.reports if isinstance(r, Validated)][-1] for case in (whole, resumed)
    )
    assert one == other


def test_movement_scores_are_the_sum_of_first_order_steps(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    """Where nothing is pruned yet, S = −Σ η g ⊙ W with the gradients that autograd gives."""

    def step(expected: Tensor, first_order: Tensor, rate: float) -> None:
        expected.sub_(rate * first_order)

    assert_scores_move(folder, examples, tmp_path, "movement", step)


def test_sensitivity_scores_are_the_averaged_size_of_first_order_changes(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    def step(expected: Tensor, first_order: Tensor, rate: float) -> None:
        expected.mul_(0.97).add_(0.03 * first_order.abs())

    assert_scores_move(folder, examples, tmp_path, "sensitivity", step)


def assert_scores_move(
    folder: Path,
    examples: Examples,
    tmp_path: Path,
    scores: str,
    step: Callable[[Tensor, Tensor, float], None],
) -> None:
    """For some steps, from g ⊙ W with the gradients that autograd gives to the weights."""
    warmups = {"epochs": 1, "initial_warmup": 0.6, "final_warmup": 0.1}
    config = CONFIG.model_copy(update={"scores": scores, **warmups})
    case = Case(folder, config)
    layer = case.layers[case.names[0]]
    expected = torch.zeros_like(layer.weight)

    class Listening(PruningHook):
        def before_step(self, training):  # type: ignore[no-untyped-def]
            rate = training.optimizer.param_groups[0]["lr"]
            step(expected, layer.weight.grad * layer.weight.detach(), rate)
            super().before_step(training)

    case.hook = Listening(case.layers, case.kept, config)
    work = case.begin(examples, tmp_path / "c")
    while case.hook._done < 4:
        next(work)
    assert layer.scores is not None
    assert layer.mask.all()
    torch.testing.assert_close(layer.scores.detach(), expected)
    assert (expected != 0).any()
    work.close()


def test_a_batch_that_had_to_be_halved_moves_scores_once(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    """Gradients of the part that still fitted are no part of the step."""
    scores = []
    for breaks in (False, True):
        case, calls = Case(folder, CONFIG), 0

        def losses(model: nn.Module, batch: Batch, breaks: bool = breaks) -> Tensor:
            nonlocal calls
            calls += 1
            if breaks and calls == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return task_loss(model.eval(), batch)

        config = case.config.model_copy(update={"accumulation": 2 if breaks else 4})
        work = case.begin(examples, tmp_path / str(breaks), config=config, objective=losses)
        while case.hook._done < 1:
            next(work)
        work.close()
        scores.append(case.layers[case.names[0]].scores)
    assert scores[0] is not None
    assert scores[0].any()
    torch.testing.assert_close(scores[1], scores[0])


def test_a_transposed_layer_is_pruned_where_it_lies() -> None:
    model = nn.Sequential(Conv1D(4, 6))
    own = layers_at(model, ["0"])
    layers = put_pruned(model, ["0"], CONFIG)
    layers["0"].mask.copy_(top(torch.rand(4, 6), 5))
    x = torch.randn(3, 6)
    pruned = model(x)
    replace_layers(model, own)
    take_pruned(model, layers)
    assert isinstance(model[0], Conv1D)
    assert model[0].weight.count_nonzero() == 5
    torch.testing.assert_close(model(x), pruned)


def test_magnitudes_have_no_scores_to_learn(folder: Path) -> None:
    case = Case(folder, CONFIG.model_copy(update={"scores": "magnitude"}))
    assert all(layer.scores is None for layer in case.layers.values())
    layer = case.layers[case.names[0]]
    assert torch.equal(layer.standing(), layer.weight.abs())
