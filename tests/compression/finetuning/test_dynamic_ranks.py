"""Units against the dense layer, importance against finite differences and real deletions, budgets
met exactly, deletions that last, and resumed searches for ranks."""

from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.finetuning.cubic import CubicSchedule
from core.compression.finetuning.dynamic_ranks import (
    Charge,
    DynamicRanksHook,
    KeptOrthogonal,
    importance,
    least_worth,
)
from core.compression.finetuning.protocol import Hook, Training
from core.compression.finetuning.training import Reports, TrainingReport
from core.compression.finetuning.units import (
    UnitLinear,
    distance_from_orthogonal,
    put_units,
    take_units,
)
from core.compression.metrics.correlation import spearman
from core.compression.models.layers import layers_at, linear_layer, replace_layers
from core.compression.progress import Structure, Validated
from core.compression.tasks.batches import reading_batches
from core.compression.tasks.examples import Examples
from core.recipe.dynamic_ranks import DynamicRanks
from tests.compression.finetuning.trainings import finish, fresh, same, task_loss, training

CONFIG = DynamicRanks(epochs=3, batch_size=8, learning_rate=5e-3, final_warmup=0.4)
KEEP = 0.25


def unit_linear(out_features: int = 6, in_features: int = 4) -> UnitLinear:
    torch.manual_seed(3)
    return UnitLinear(nn.Linear(in_features, out_features).double())


@pytest.mark.parametrize("rows", [1, 500], ids=["by factors", "by their product"])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_at_full_rank_units_compute_what_the_dense_layer_does(
    shape: tuple[int, int], rows: int
) -> None:
    torch.manual_seed(3)
    dense = nn.Linear(shape[1], shape[0]).double()
    units, x = UnitLinear(dense), torch.randn(rows, shape[1]).double()
    torch.testing.assert_close(units(x), dense(x))
    assert len(units.s) == units.rank == min(shape)


def test_both_ways_to_multiply_have_the_same_gradients() -> None:
    """A batch of many rows goes by the product; one by one, its rows go by the factors."""
    units, x = unit_linear(), torch.randn(60, 4).double()

    def gradients(answers: list[Tensor]) -> list[Tensor]:
        loss = torch.tanh(torch.cat(answers)).square().sum()
        return list(torch.autograd.grad(loss, list(units.parameters())))

    whole, parts = gradients([units(x)]), gradients([units(row[None]) for row in x])
    for ours, theirs in zip(whole, parts, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_first_order_importance_is_the_limit_of_shrinking_a_unit() -> None:
    """|L(s_i) − L((1 − ε) s_i)| / ε for ε → 0, of a loss that is not linear."""
    units, x = unit_linear(), torch.randn(7, 4).double()

    def loss(s: Tensor) -> Tensor:
        return torch.tanh(F.linear(F.linear(x, units.vt) * s, units.u, units.bias)).square().sum()

    loss(units.s).backward()
    found, s, gaps = importance(units, CONFIG), units.s.detach(), []
    for epsilon in (1e-2, 1e-3, 1e-4):
        shrunk = torch.stack([loss(s - epsilon * s * unit) for unit in torch.eye(len(s)).double()])
        gaps.append(((loss(s) - shrunk).abs() / epsilon - found).abs().max().item())
    assert gaps[2] < 1e-4 * found.max()
    assert all(later == pytest.approx(earlier / 10, rel=0.2) for earlier, later in pairwise(gaps))


def test_group_importance_adds_up_over_a_units_weights() -> None:
    units, x = unit_linear(), torch.randn(7, 4).double()
    torch.tanh(units(x)).square().sum().backward()
    found = importance(units, CONFIG.model_copy(update={"importance": "group"}))
    assert units.u.grad is not None
    assert units.s.grad is not None
    assert units.vt.grad is not None
    u, s, vt = units.u.tolist(), units.s.tolist(), units.vt.tolist()
    of_u, of_s, of_vt = units.u.grad.tolist(), units.s.grad.tolist(), units.vt.grad.tolist()
    for i in range(4):
        pairs = [(s[i], of_s[i]), *zip(vt[i], of_vt[i], strict=True)]
        pairs += [(row[i], gradients[i]) for row, gradients in zip(u, of_u, strict=True)]
        expected = sum(abs(weight * gradient) for weight, gradient in pairs)
        assert found[i].item() == pytest.approx(expected)


def test_the_least_worth_go_until_the_others_fit() -> None:
    live = [torch.tensor([True, True, False]), torch.tensor([True, True])]
    scores = [torch.tensor([4.0, 6.0, 0.0]), torch.tensor([3.0, 9.0])]
    charges = [Charge(2, 100, 1.0), Charge(5, 100, 1.0)]
    # Worth per parameter: 2, 3, –; 0.6, 1.8 (of costs 2 and 5).
    for budget, first, second in (
        (14, [], []),
        (13, [], [0]),
        (9, [], [0]),
        (8, [], [0, 1]),
        (3, [0], [0, 1]),
        (1, [0, 1], [0, 1]),
    ):
        gone = least_worth(live, scores, charges, budget, floor=0)
        assert [units.nonzero()[:, 0].tolist() for units in gone] == [first, second], budget
    kept = least_worth(live, scores, charges, 0, floor=1)
    assert [units.tolist() for units in kept] == [[True, False, False], [True, False]]


def test_what_will_be_stored_dense_is_charged_as_dense_in_the_end() -> None:
    first, half, last = (Charge(10, 25, remitted) for remitted in (0.0, 0.5, 1.0))
    assert [charge.of(4) for charge in (first, half, last)] == [40, 32.5, 25]
    assert {charge.of(2) for charge in (first, half, last)} == {20}
    assert last.freed(4).tolist() == [0, 5, 10, 10]
    live, scores = [torch.ones(4, dtype=torch.bool)], [torch.arange(4.0)]
    assert least_worth(live, scores, [last], 25, floor=0)[0].sum() == 0
    assert least_worth(live, scores, [last], 24, floor=0)[0].tolist() == [True, True, False, False]


class Case:
    """A tiny classifier whose layers lose most of their units."""

    def __init__(self, folder: Path, config: DynamicRanks, keep: float = KEEP, floor: int = 1):
        self.model = fresh(folder)
        self.names = [
            name
            for name, layer in self.model.named_modules()
            if isinstance(layer, nn.Linear) and ".layer." in name
        ]
        dense = sum(linear_layer(self.model, name).weight.numel() for name in self.names)
        self.allowance = int(keep * dense)
        self.own = layers_at(self.model, self.names)
        self.layers = put_units(self.model, self.names)
        self.hook = DynamicRanksHook(self.layers, self.allowance, floor, config)
        self.config = config
        self.reports: list[Reports] = []

    def finish(self, examples: Examples, folder: Path) -> TrainingReport:
        return finish(self.begin(examples, folder), self.reports)

    def begin(
        self, examples: Examples, folder: Path, *others: Hook, **changes: Any
    ) -> Generator[Reports, None, TrainingReport]:
        own = {"config": self.config, "hooks": [self.hook, *others]}
        return training(self.model, examples, folder, **{**own, **changes})

    @property
    def ranks(self) -> dict[str, int]:
        return {name: layer.rank for name, layer in self.layers.items()}


VARIANTS = [
    CONFIG,
    CONFIG.model_copy(update={"importance": "group"}),
    CONFIG.model_copy(update={"uncertainty": True}),
    CONFIG.model_copy(update={"smoothing": 0.0, "accumulation": 2}),
]
each_variant = pytest.mark.parametrize(
    "config", VARIANTS, ids=["first order", "group", "uncertainty", "last step only"]
)


def linear_layer_size(layer: UnitLinear) -> int:
    return layer.u.shape[0] * layer.vt.shape[1]


@each_variant
def test_the_schedules_end_meets_the_budget_exactly(
    config: DynamicRanks, folder: Path, examples: Examples, tmp_path: Path
) -> None:
    case = Case(folder, config)
    case.finish(examples, tmp_path / "training")
    largest = max(layer.unit_cost for layer in case.layers.values())
    stored = sum(
        min(layer.rank * layer.unit_cost, linear_layer_size(layer))
        for layer in case.layers.values()
    )
    assert stored == case.hook.charged()
    assert case.allowance - largest < stored <= case.allowance
    for layer in case.layers.values():
        assert len(layer.live) == len(layer.s) == layer.u.shape[1] == layer.vt.shape[0]
        assert layer.live.all(), "what is deleted has left the parameters"
    assert len(set(case.ranks.values())) > 2, "ranks are spread"


def test_no_layer_falls_below_its_floor(folder: Path, examples: Examples, tmp_path: Path) -> None:
    case = Case(folder, CONFIG, keep=0.3, floor=5)
    case.finish(examples, tmp_path / "training")
    assert min(case.ranks.values()) == 5


class Watch(Hook):
    """Follows every unit by the direction it began with, through deletions and shrinking."""

    def __init__(self, layers: dict[str, UnitLinear], hook: DynamicRanksHook):
        self.layers, self.hook = layers, hook
        self.ranks: list[dict[str, int]] = []
        self.charged: list[float] = []
        self.masked = 0

    def after_step(self, training: Training) -> None:
        self.ranks.append({name: layer.rank for name, layer in self.layers.items()})
        self.charged.append(self.hook.charged())
        for layer in self.layers.values():
            dead = ~layer.live
            self.masked += int(dead.sum())
            for weight, some in ((layer.u, (slice(None), dead)), (layer.s, dead), (layer.vt, dead)):
                moments = training.optimizer.state[weight]
                assert not weight[some].any()
                assert not moments["exp_avg"][some].any()
                assert not moments["exp_avg_sq"][some].any()


@each_variant
def test_what_is_deleted_never_returns_and_the_schedule_is_kept(
    config: DynamicRanks, folder: Path, examples: Examples, tmp_path: Path
) -> None:
    config = config.model_copy(update={"weight_decay": 0.1})
    case = Case(folder, config)
    watch, before = Watch(case.layers, case.hook), case.hook.params()
    finish(case.begin(examples, tmp_path / "training", watch))
    assert watch.masked > 0, "units were dead in place for a while"
    for earlier, later in pairwise(watch.ranks):
        assert all(later[name] <= rank for name, rank in earlier.items())
    schedule, steps = CubicSchedule(config.initial_warmup, config.final_warmup), len(watch.charged)
    largest = max(layer.unit_cost for layer in case.layers.values())
    for step, charged in enumerate(watch.charged, start=1):
        budget = schedule.kept(before, case.allowance, step, steps)
        assert charged <= budget
        if charged < watch.charged[step - 2]:
            assert charged > budget - largest, "no more is deleted than has to be"
    last = [ranks for step, ranks in enumerate(watch.ranks, 1) if step >= 0.6 * steps]
    assert all(ranks == case.ranks for ranks in last), "the structure is fixed in the last phase"


def test_shrinking_changes_neither_answers_nor_what_the_optimizer_knows(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    class Shrink(Hook):
        """Compares each layer and its moments before and after one shrinking of half its units."""

        def __init__(self, layers: dict[str, UnitLinear]):
            self.layers, self.looked = layers, 0

        def after_step(self, training: Training) -> None:
            if training.step != 5:
                return
            for layer in self.layers.values():
                layer.delete(torch.arange(len(layer.s)) % 2 == 1, training)
                x = torch.randn(9, layer.vt.shape[1])
                answer = layer(x)
                state = training.optimizer.state
                before = [state[p]["exp_avg"].clone() for p in (layer.u, layer.s, layer.vt)]
                group = len(training.optimizer.param_groups[0]["params"])
                kept = layer.shrink(training)
                torch.testing.assert_close(layer(x), answer, rtol=1e-5, atol=1e-6)
                u, s, vt = (state[p]["exp_avg"] for p in (layer.u, layer.s, layer.vt))
                assert torch.equal(u, before[0][:, kept])
                assert torch.equal(s, before[1][kept])
                assert torch.equal(vt, before[2][kept])
                assert group == len(training.optimizer.param_groups[0]["params"])
                self.looked += 1

    case = Case(folder, CONFIG)
    shrink = Shrink(case.layers)
    finish(case.begin(examples, tmp_path / "training", hooks=[shrink]))
    assert shrink.looked == len(case.layers)


def test_only_settled_ranks_can_be_the_result(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    case = Case(folder, CONFIG)
    report = case.finish(examples, tmp_path / "training")
    assert report.best_step >= 0.6 * report.steps
    early = [
        each
        for each in case.reports
        if isinstance(each, Validated) and each.step < 0.6 * report.steps
    ]
    assert early
    assert not any(each.best for each in early)
    told = [each for each in case.reports if isinstance(each, Structure)]
    assert {layer.name: layer.rank for layer in told[-1].layers} == case.ranks


@each_variant
def test_a_resumed_search_equals_an_undisturbed_one(
    config: DynamicRanks, folder: Path, examples: Examples, tmp_path: Path
) -> None:
    config = config.model_copy(update={"checkpoint_steps": 4})
    undisturbed = Case(folder, config)
    expected = undisturbed.finish(examples, tmp_path / "undisturbed")
    for broken_after in (2, 9, 14, 20):
        broken = Case(folder, config).begin(examples, tmp_path / "broken")
        for report in broken:
            if getattr(report, "unit", "") == "step" and getattr(report, "done", 0) > broken_after:
                break
        broken.close()
    resumed = Case(folder, config)
    assert resumed.finish(examples, tmp_path / "broken") == expected
    assert resumed.ranks == undisturbed.ranks
    assert same(resumed.model, undisturbed.model)


def test_the_weights_taken_are_the_products(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    case = Case(folder, CONFIG)
    case.finish(examples, tmp_path / "training")
    (batch,) = reading_batches(examples.head(8), 8, "cpu")
    answers = case.model(**batch.inputs).logits
    replace_layers(case.model, case.own)
    take_units(case.model, case.layers)
    torch.testing.assert_close(case.model(**batch.inputs).logits, answers, rtol=1e-4, atol=1e-5)
    for name, rank in case.ranks.items():
        weight = linear_layer(case.model, name).weight.detach().double()
        assert int(torch.linalg.matrix_rank(weight, rtol=1e-5)) == rank


def test_orthogonality_is_a_penalty_on_every_row(folder: Path, examples: Examples) -> None:
    case = Case(folder, CONFIG)
    with torch.no_grad():
        for layer in case.layers.values():
            layer.u.mul_(1.1)
    expected = sum(
        np.square(gram - np.eye(len(gram))).sum()
        for layer in case.layers.values()
        for u, vt in [(layer.u.detach().double().numpy(), layer.vt.detach().double().numpy())]
        for gram in (u.T @ u, vt @ vt.T)
    )
    found = distance_from_orthogonal(case.layers)
    assert float(found) == pytest.approx(expected, rel=1e-4)
    (batch,) = reading_batches(examples.head(8), 8, "cpu")
    case.model.eval()
    penalized = KeptOrthogonal(task_loss, case.layers, 0.5)(case.model, batch)
    torch.testing.assert_close(penalized, task_loss(case.model, batch) + 0.5 * found)
    found.backward()
    assert all(layer.u.grad is not None for layer in case.layers.values())


def test_importance_orders_units_as_deleting_them_does(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    """On a model that has learned: rank correlation of |s ∂L/∂s|, batch by batch as training sees
    it, with how much the loss of all rows changes when a unit is taken out."""
    case = Case(folder, CONFIG, keep=2.0)
    finish(case.begin(examples, tmp_path / "training", config=CONFIG, hooks=[]))
    model = case.model.eval()
    batches = list(reading_batches(examples, 8, "cpu"))
    scores = {name: torch.zeros(len(layer.s)) for name, layer in case.layers.items()}
    for batch in batches:
        model.zero_grad()
        task_loss(model, batch).mean().backward()
        for name, layer in case.layers.items():
            scores[name] += importance(layer, CONFIG).detach()

    @torch.no_grad()
    def loss() -> float:
        return float(sum(task_loss(model, batch).sum() for batch in batches))

    whole, name = loss(), max(scores, key=lambda name: float(scores[name].sum()))
    layer, changes = case.layers[name], []
    for unit in range(len(layer.s)):
        with torch.no_grad():
            kept, layer.s[unit] = layer.s[unit].clone(), 0
            changes.append(abs(loss() - whole))
            layer.s[unit] = kept
    assert spearman(scores[name].numpy(), np.array(changes)).value > 0.6
