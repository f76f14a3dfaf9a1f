"""Paths and their probability, the two passes' loss by hand, a low-rank end, resumed trainings."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.finetuning.mixed_rank import MixedRank, MixedRankLinear
from core.compression.finetuning.protocol import Training
from core.compression.finetuning.pruning import top
from core.compression.finetuning.training import Reports, TrainingReport
from core.compression.low_rank import Factors, LowRankLinear
from core.compression.models.factorized import factorized_layers
from core.compression.models.layers import linear_layer
from core.compression.progress import Checkpointed
from core.compression.tasks.batches import Batch, make_batch
from core.compression.tasks.examples import Examples
from core.recipe.training import MixedRankFinetune
from tests.compression.finetuning.trainings import (
    factorized,
    finish,
    fresh,
    same,
    steps_of,
    training,
)
from tests.compression.tasks.reading import SINGLE

CONFIG = MixedRankFinetune(epochs=2, batch_size=8, learning_rate=5e-3)


def mixed_linear(trains: bool = True) -> MixedRankLinear:
    torch.manual_seed(2)
    factors = Factors(torch.randn(4, 2), torch.randn(2, 6))
    sparse = torch.randn(4, 6) * top(torch.rand(4, 6), 9)
    return MixedRankLinear(LowRankLinear.from_factors(factors, torch.randn(4)), sparse, trains)


class Case:
    """A classifier with thin feed-forward layers, and its pruned weights beside them."""

    def __init__(self, folder: Path, **changes: Any):
        self.config = CONFIG.model_copy(update=changes)
        self.model = factorized(folder)
        dense = fresh(folder)
        weights = {
            name: linear_layer(dense, name).weight.detach()
            for name in factorized_layers(self.model)
        }
        self.sparse = {
            name: weight * top(weight.abs(), weight.numel() // 5)
            for name, weight in weights.items()
        }
        self.mixed = MixedRank(SINGLE, self.sparse, self.config)

    @contextmanager
    def begun(
        self, examples: Examples, folder: Path, **others: Any
    ) -> Iterator[Generator[Reports, None, TrainingReport]]:
        own = {"config": self.config, "objective": self.mixed, "hooks": [self.mixed]}
        with self.mixed.in_place(self.model):
            yield training(self.model, examples, folder, **{**own, **others})

    def finish(self, examples: Examples, folder: Path) -> list[Reports]:
        reports: list[Reports] = []
        with self.begun(examples, folder) as work:
            finish(work, reports)
        return reports


def at(step: int, steps: int) -> Any:
    """A training's place, which is all that drawing paths looks at."""
    generator = torch.Generator().manual_seed(step)
    return SimpleNamespace(progress=step / steps, generator=lambda: generator)


def test_a_layer_takes_one_of_two_paths_and_only_factors_when_evaluated() -> None:
    layer, x = mixed_linear(), torch.randn(5, 6)
    low, sparse = layer.low_rank(x), F.linear(x, layer.sparse, layer.low_rank.bias)
    assert not torch.allclose(low, sparse)
    layer.train()
    assert torch.equal(layer(x), low)
    layer.takes_sparse = True
    torch.testing.assert_close(layer(x), sparse)
    layer.eval()
    assert torch.equal(layer(x), low)


@pytest.mark.parametrize("trains", [True, False])
def test_what_was_pruned_stays_zero_and_the_rest_learns_where_it_may(trains: bool) -> None:
    layer, x = mixed_linear(trains).train(), torch.randn(5, 6)
    layer.takes_sparse = True
    before, left = layer.sparse.detach().clone(), layer.left
    parameters = [each for each in layer.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1)
    for _ in range(3):
        layer(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not layer.sparse[~left].any()
    assert bool((layer.sparse[left] != before[left]).all()) is trains


def test_probabilities_fall_by_a_line_to_zero(folder: Path) -> None:
    mixed = Case(folder, sparse_probability=0.8, low_rank_share=0.25).mixed
    found = [mixed.probability(step / 8) for step in range(9)]
    expected = [0.8 * (1 - step / 6) for step in range(6)] + [0, 0, 0]
    assert found == pytest.approx(expected)


def test_each_matrix_draws_for_each_pass_with_this_probability(folder: Path) -> None:
    case = Case(folder, sparse_probability=0.6, low_rank_share=0.5)
    with case.mixed.in_place(case.model):
        drawn = []
        for step in range(1500):
            training = at(step, 10)
            training.progress = 0.25
            case.mixed.before_batch(training)
            drawn.append(case.mixed._paths)
        paths = torch.stack(drawn).float()
        assert case.mixed.values() == {"sparse_probability": pytest.approx(0.3)}
        assert paths.shape == (1500, 2, len(case.sparse))
        deviation = (0.3 * 0.7 / 1500) ** 0.5
        assert (paths.mean(0) - 0.3).abs().max() < 4 * deviation
        together = (paths[:, 0] * paths[:, 1]).mean(0)
        assert (together - 0.09).abs().max() < 4 * deviation, "passes draw apart"
        case.mixed.before_batch(at(5, 10))
        assert not case.mixed._paths.any(), "from the end of the line on"


def by_hand(case: Case, batch: Batch, paths: Tensor) -> Tensor:
    """ℓ and both KL divergences from logits of models that have these weights in place."""
    log_p = []
    for taken in paths.tolist():
        model = with_weights_of(case, taken)
        log_p.append(model(**batch.inputs).logits.double().log_softmax(-1))
    rows = torch.arange(len(batch))
    task = -(log_p[0] + log_p[1])[rows, batch.labels] / 2
    forth = (log_p[0].exp() * (log_p[0] - log_p[1])).sum(-1)
    back = (log_p[1].exp() * (log_p[1] - log_p[0])).sum(-1)
    return task + case.config.consistency * (forth + back) / 2


def with_weights_of(case: Case, taken: list[bool]) -> nn.Module:
    """As the case's, with a dense layer of the path's weight in place of every mixed one."""
    for layer, takes_sparse in zip(case.mixed.layers, taken, strict=True):
        low = layer.low_rank
        weight = layer.sparse if takes_sparse else low.outer @ low.inner
        layer.forward = lambda x, w=weight, b=low.bias: F.linear(x, w, b)  # type: ignore[method-assign]
    return case.model


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
def test_the_loss_is_both_passes_mean_and_their_disagreement(
    folder: Path, examples: Examples, alpha: float
) -> None:
    case = Case(folder, consistency=alpha)
    batch = make_batch(examples, np.arange(9), "cpu")
    with case.mixed.in_place(case.model):
        case.model.eval()
        for layer in case.mixed.layers:
            layer.training = True
        case.mixed._paths = torch.tensor([[True, False, True, False], [False, False, True, True]])
        found = case.mixed(case.model, batch)
        expected = by_hand(case, batch, case.mixed._paths)
    assert found.shape == (9,)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_disagreement_is_symmetric_and_nothing_where_passes_agree(
    folder: Path, examples: Examples
) -> None:
    case, batch = Case(folder), make_batch(examples, np.arange(9), "cpu")
    a, b = (SimpleNamespace(logits=torch.randn(9, 2, requires_grad=True)) for _ in range(2))
    forth = case.mixed.disagreement(a, b, batch)
    torch.testing.assert_close(case.mixed.disagreement(b, a, batch), forth)
    assert (forth > 0).all()
    assert not case.mixed.disagreement(a, a, batch).any()
    forth.sum().backward()
    assert a.logits.grad is not None
    assert b.logits.grad is not None
    assert a.logits.grad.any(dim=1).all()
    assert b.logits.grad.any(dim=1).all(), "both passes are moved towards each other"


def test_parts_of_a_batch_take_the_paths_of_their_step(
    folder: Path, examples: Examples, tmp_path: Path
) -> None:
    case = Case(folder, accumulation=4, sparse_probability=1.0)
    seen: dict[float, set[str]] = {}

    class Listening(MixedRank):
        def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
            seen.setdefault(self._probability, set()).add(str(self._paths.tolist()))
            return super().__call__(model, batch)

    case.mixed = Listening(SINGLE, case.sparse, case.config)
    case.finish(examples, tmp_path / "c")
    assert len(seen) > 5
    assert all(len(paths) == 1 for paths in seen.values())
    assert len(set.union(*seen.values())) > 5


@pytest.mark.parametrize("sparse_weights", ["trainable", "frozen"])
def test_it_ends_purely_low_rank(
    folder: Path, examples: Examples, tmp_path: Path, sparse_weights: str
) -> None:
    case = Case(folder, sparse_weights=sparse_weights)
    names = dict(case.model.named_parameters()).keys()
    before = {name: layer.outer.clone() for name, layer in factorized_layers(case.model).items()}
    reports = case.finish(examples, tmp_path / "c")
    after = factorized_layers(case.model)
    assert dict(case.model.named_parameters()).keys() == names
    assert all(isinstance(layer, LowRankLinear) for layer in after.values())
    assert any(not torch.equal(layer.outer, before[name]) for name, layer in after.items())
    told = [step.values["sparse_probability"] for step in steps_of(reports)]
    assert told[0] == 0.5
    assert told[-4:] == [0, 0, 0, 0]


@pytest.mark.parametrize("step", [1, 6, 11, 15])
def test_a_resumed_run_equals_an_undisturbed_one(
    folder: Path, examples: Examples, tmp_path: Path, step: int
) -> None:
    whole = Case(folder)
    whole.finish(examples, tmp_path / "whole")
    broken = Case(folder)
    with broken.begun(examples, tmp_path / "c", every=0.0) as work:
        while next(work) != Checkpointed(step):
            pass
        torch.rand(3)
        work.close()
    resumed = Case(folder)
    resumed.finish(examples, tmp_path / "c")
    assert same(resumed.model, whole.model)
    for one, other in zip(resumed.mixed.layers, whole.mixed.layers, strict=True):
        assert torch.equal(one.sparse, other.sparse)


def test_a_step_draws_the_same_paths_whenever_it_is_taken(folder: Path) -> None:
    case = Case(folder, sparse_probability=1.0)

    def paths(step: int) -> list[list[bool]]:
        place = Training(case.model, None, 99, 7, SimpleNamespace(step=step))  # type: ignore[arg-type]
        case.mixed.before_batch(place)
        return case.mixed._paths.tolist()

    with case.mixed.in_place(case.model):
        assert paths(30) == paths(30)
        assert len({str(paths(step)) for step in range(30, 50)}) > 10
