"""TFWSVD against row-by-row weighted least squares from many starts, and against autograd."""

from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.tfwsvd import Problem as Layer
from core.compression.factorization.tfwsvd import decompose
from core.compression.factorization.tfwsvd_objective import Objective, Pair, normalized
from core.compression.factorization.tfwsvd_optimizers import OPTIMIZERS, als, em, row_changes
from core.compression.factorization.tfwsvd_starts import best_form
from core.recipe.methods import TfwsvdConfig
from tests.compression.factorization.problems import SHAPES, Problem, make_problem

Matrix = NDArray[np.float64]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_optimizer = pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
THOROUGH = TfwsvdConfig(tolerance=1e-6, max_rounds=60)


def weights(problem: Problem, floor: float = 0.01) -> Matrix:
    """F / mean F + ε, entry by entry."""
    fisher: Matrix = problem.fisher.numpy()
    mean = sum(sum(row) for row in fisher.tolist()) / fisher.size
    return np.array([[f / mean + floor for f in row] for row in fisher.tolist()])


def cost(f: Matrix, w: Matrix, product: Matrix) -> float:
    return float((f * (w - product) ** 2).sum())


def least_squares(f: Matrix, w: Matrix, q: Matrix) -> Matrix:
    """The rows of P, each by a weighted least-squares fit of its own."""
    rows = [
        np.linalg.lstsq((q * np.sqrt(f_i)).T, np.sqrt(f_i) * w_i, rcond=None)[0]
        for f_i, w_i in zip(f, w, strict=True)
    ]
    return np.array(rows)


def slow_optimum(f: Matrix, w: Matrix, rank: int, starts: int, sweeps: int) -> float:
    """The lowest J that alternating fits reach from random starts."""
    generator, reached = np.random.default_rng(3), []
    for _ in range(starts):
        q = generator.normal(size=(rank, w.shape[1]))
        for _ in range(sweeps):
            p = least_squares(f, w, q)
            q = least_squares(f.T, w.T, p.T).T
        reached.append(cost(f, w, p @ q))
    return min(reached)


def layer_of(problem: Problem, config: TfwsvdConfig) -> Layer:
    return Layer.of(problem.weight, problem.statistics, config)


def decomposed(problem: Problem, config: TfwsvdConfig) -> Decomposition:
    return decompose(problem.weight, problem.statistics, config)


def reached(problem: Problem, config: TfwsvdConfig, rank: int) -> float:
    product = decomposed(problem, config).truncate(rank).product().numpy()
    return cost(weights(problem), problem.weight.numpy(), product)


@each_shape
@pytest.mark.parametrize("rank", [1, 3])
def test_als_finds_what_many_slow_starts_find(shape: tuple[int, int], rank: int) -> None:
    """Within 1 %; a single start may end in a neighbouring valley."""
    problem = make_problem(*shape, examples=9)
    best = slow_optimum(weights(problem), problem.weight.numpy(), rank, starts=4, sweeps=60)
    assert reached(problem, THOROUGH, rank) <= 1.01 * best


@each_optimizer
@each_shape
def test_is_never_above_its_start(optimizer: str, shape: tuple[int, int]) -> None:
    problem = make_problem(*shape, examples=9)
    found = layer_of(problem, TfwsvdConfig(optimizer=optimizer, max_rounds=4))
    for rank in (1, 2, 4):
        starts = [form.cut(rank).product() for form in found.forms]
        costs = [cost(weights(problem), problem.weight.numpy(), s.numpy()) for s in starts]
        assert reached(problem, found.config, rank) <= min(costs) * (1 + 1e-12)


@each_optimizer
def test_each_optimizer_goes_down_to_the_same(optimizer: str) -> None:
    problem = make_problem(9, 7, examples=9)
    found = layer_of(problem, THOROUGH)
    start = found.objective(found.starts(2).best)
    best = reached(problem, THOROUGH, 2)
    assert best < 0.97 * start
    config = THOROUGH.model_copy(update={"optimizer": optimizer})
    slow = optimizer in ("em", "sgd")  # half the way in as many rounds
    assert reached(problem, config, 2) <= best + (0.5 if slow else 0.01) * (start - best)


def objective_of(problem: Problem) -> Objective:
    return Objective(problem.weight, normalized(problem.fisher, 0.01))


def random_pair(objective: Objective, rank: int) -> Pair:
    generator = torch.Generator().manual_seed(2)
    out_features, in_features = objective.weight.shape
    p = torch.randn(out_features, rank, generator=generator, dtype=torch.float64)
    return Pair(p, torch.randn(rank, in_features, generator=generator, dtype=torch.float64))


@each_shape
def test_gradients_are_autograds(shape: tuple[int, int]) -> None:
    objective = objective_of(make_problem(*shape))
    pair = random_pair(objective, 3)
    p, q = pair.p.requires_grad_(), pair.q.requires_grad_()
    (objective.fisher * (objective.weight - p @ q) ** 2).sum().backward()
    found = objective.gradients(Pair(p.detach(), q.detach()))
    torch.testing.assert_close(found.p, p.grad)
    torch.testing.assert_close(found.q, q.grad)


@each_shape
def test_half_a_sweep_is_row_by_row_least_squares(shape: tuple[int, int]) -> None:
    problem = make_problem(*shape)
    objective = objective_of(problem)
    pair = random_pair(objective, 3)
    expected = least_squares(weights(problem), problem.weight.numpy(), pair.q.numpy())
    once = pair.p + row_changes(objective, pair)
    np.testing.assert_allclose(once.numpy(), expected, rtol=1e-3, atol=1e-4)
    again = once
    for _ in range(3):
        again = again + row_changes(objective, Pair(again, pair.q))
    np.testing.assert_allclose(again.numpy(), expected, rtol=1e-9)


def test_an_em_step_is_a_truncated_svd_of_what_is_filled_in() -> None:
    problem = make_problem(6, 9)
    found = layer_of(problem, TfwsvdConfig())
    starts = found.starts(2)
    x, f = (starts.best.p @ starts.best.q).numpy(), weights(problem)
    filled = f / f.max() * problem.weight.numpy() + (1 - f / f.max()) * x
    u, s, vt = np.linalg.svd(filled)
    (after,) = islice(em(found.objective, starts), 1)
    np.testing.assert_allclose((after.p @ after.q).numpy(), (u[:, :2] * s[:2]) @ vt[:2], atol=1e-12)


@pytest.mark.parametrize("optimizer", [als, em], ids=["als", "em"])
@each_shape
def test_als_and_em_never_rise(optimizer: object, shape: tuple[int, int]) -> None:
    found = layer_of(make_problem(*shape, examples=9), TfwsvdConfig())
    rounds = OPTIMIZERS[getattr(optimizer, "__name__", "")](found.objective, found.starts(3))
    costs = [found.objective(pair) for pair in islice(rounds, 40)]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(costs))


@each_shape
def test_predicts_the_starts_cost_in_units_of_the_loss(shape: tuple[int, int]) -> None:
    """Σ (F + ε mean F) E² / (2N) of the best form, and never less than what is reached."""
    problem = make_problem(*shape)
    found = decomposed(problem, TfwsvdConfig())
    fisher = problem.fisher + 0.01 * problem.fisher.mean()
    predicted = found.spectrum.predicted_increase
    assert predicted is not None

    def increase(product: Tensor) -> float:
        return float((fisher * (problem.weight - product).square()).sum()) / (2 * 40)

    layer = layer_of(problem, TfwsvdConfig())
    best = best_form(layer.objective, layer.forms)
    assert predicted[0] == pytest.approx(increase(torch.zeros(shape)))
    for rank in range(1, min(shape)):
        assert predicted[rank] == pytest.approx(
            min(increase(best.cut(k).product()) for k in range(1, rank + 1))
        )
        assert increase(found.truncate(rank).product()) <= predicted[rank] * (1 + 1e-9)


def test_a_fisher_that_is_separable_leaves_nothing_to_iterate() -> None:
    """Then the two-sided closed form is the optimum: ALS may not improve on it."""
    problem = make_problem(8, 6, examples=1)
    found = layer_of(problem, THOROUGH.model_copy(update={"fisher_floor": 1e-9}))
    start = found.objective(found.starts(2).best)
    solved = decomposed(problem, found.config).truncate(2)
    assert found.objective(Pair(solved.outer, solved.inner)) == pytest.approx(start, rel=1e-4)


def test_the_floor_keeps_the_unweighted_error_near_svds() -> None:
    problem = make_problem(9, 9, condition=1e4)
    plain = np.linalg.svd(problem.weight.numpy(), compute_uv=False)[3:]
    error = problem.weight - decomposed(problem, TfwsvdConfig()).truncate(3).product()
    assert float(error.norm()) <= 10 * float(np.sqrt((plain**2).sum()))
