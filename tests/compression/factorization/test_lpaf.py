"""Sparsity-aware SVD against a dense oracle, with rows and columns of nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.registry import decompose
from core.compression.layer_statistics import LayerStatistics, PruningScores
from core.compression.linalg import eigenpairs
from core.recipe.methods import LpafConfig
from core.recipe.statistics import Statistic
from tests.compression.factorization.problems import SHAPES, Problem, make_problem

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def sparse_problem(shape: tuple[int, int]) -> Problem:
    """Two thirds of the weights are gone, one row and two columns altogether."""
    problem = make_problem(*shape)
    kept = torch.rand(shape, generator=torch.Generator().manual_seed(4)) < 0.5
    kept[2], kept[:, 1], kept[:, 4] = False, False, False
    return Problem(problem.weight * kept, problem.x, problem.delta)


def oracle(w: Tensor, r: Tensor, c: Tensor, rank: int) -> Tensor:
    """Crop, scale, truncate, unscale by division, and put back."""
    rows, columns = (w != 0).any(1), (w != 0).any(0)
    left, right = r[rows].sqrt()[:, None], c[columns].sqrt()
    u, s, vt = np.linalg.svd((left * w[rows][:, columns] * right).numpy())
    s[rank:] = 0
    size = min(len(u), len(vt))
    product = torch.from_numpy(u[:, :size] * s[:size] @ vt[:size]) / left / right
    found = torch.zeros_like(w)
    found[torch.outer(rows, columns)] = product.flatten()
    return found


def counted(problem: Problem) -> Decomposition:
    return decompose("layer", problem.weight, None, LpafConfig())


@each_shape
def test_counts_against_the_oracle(shape: tuple[int, int]) -> None:
    problem = sparse_problem(shape)
    left = (problem.weight != 0).double()
    found = counted(problem)
    for rank in range(1, min(shape) + 1):
        expected = oracle(problem.weight, left.sum(1), left.sum(0), rank)
        torch.testing.assert_close(found.truncate(rank).product(), expected, atol=1e-10, rtol=0)


@each_shape
def test_no_neighbour_is_better_in_the_weighted_norm(shape: tuple[int, int]) -> None:
    problem = sparse_problem(shape)
    found = counted(problem)
    factors, generator = found.truncate(2), torch.Generator().manual_seed(1)
    best = found.squared_norm(problem.weight - factors.product())
    for _ in range(50):
        outer = factors.outer + 1e-3 * torch.randn(factors.outer.shape, generator=generator)
        inner = factors.inner + 1e-3 * torch.randn(factors.inner.shape, generator=generator)
        assert found.squared_norm(problem.weight - outer @ inner) >= best


@each_shape
def test_empty_rows_and_columns_stay_zero(shape: tuple[int, int]) -> None:
    for rank in range(1, min(shape) + 1):
        product = counted(sparse_problem(shape)).truncate(rank).product()
        assert not product[2].any()
        assert not product[:, [1, 4]].any()


@each_shape
def test_scores_against_the_oracle(shape: tuple[int, int]) -> None:
    problem = sparse_problem(shape)
    scores = torch.rand(shape, generator=torch.Generator().manual_seed(7)).double()
    scores = scores * (problem.weight != 0)
    statistics = LayerStatistics(
        {}, 0, 0, scores=PruningScores(rows=scores.sum(1), columns=scores.sum(0))
    )
    found = decompose("layer", problem.weight, statistics, LpafConfig(weights="scores"))
    expected = oracle(problem.weight, scores.sum(1), scores.sum(0), 2)
    torch.testing.assert_close(found.truncate(2).product(), expected, atol=1e-10, rtol=0)


@each_shape
def test_where_nothing_was_pruned_there_are_no_scores(shape: tuple[int, int]) -> None:
    problem = make_problem(*shape)
    scores = LpafConfig(weights="scores")
    for statistics in (None, LayerStatistics({}, 0, 0)):
        found = decompose("layer", problem.weight, statistics, scores).truncate(2)
        torch.testing.assert_close(found.product(), counted(problem).truncate(2).product())


@each_shape
def test_fisher_against_the_oracle(shape: tuple[int, int]) -> None:
    problem = sparse_problem(shape)
    found = decompose("layer", problem.weight, problem.statistics, LpafConfig(weights="fisher"))
    fisher = problem.fisher
    expected = oracle(problem.weight, fisher.sum(1), fisher.sum(0), 3)
    torch.testing.assert_close(found.truncate(3).product(), expected, atol=1e-9, rtol=0)


@each_shape
@pytest.mark.parametrize("weights", ["counts", "fisher"])
def test_the_predicted_increase_is_the_two_sided_error(
    shape: tuple[int, int], weights: str
) -> None:
    problem = sparse_problem(shape)
    config = LpafConfig.model_validate({"weights": weights})
    found = decompose("layer", problem.weight, problem.statistics, config)
    left, right = (root_of(gram) for gram in (problem.g, problem.a))
    unit = 1 / (2 * len(problem.x) ** 2)
    for rank in range(1, min(shape) + 1):
        error = problem.weight - found.truncate(rank).product()
        expected = float((left @ error @ right).square().sum()) * unit
        assert found.spectrum.predicted_increase is not None
        assert found.spectrum.predicted_increase[rank] == pytest.approx(expected, abs=1e-9)


def root_of(gram: Tensor) -> Tensor:
    pairs = eigenpairs(gram)
    return pairs.vectors * pairs.values.sqrt() @ pairs.vectors.T


@each_shape
def test_the_predicted_increase_from_diagonals(shape: tuple[int, int]) -> None:
    problem = sparse_problem(shape)
    a, g = problem.a.diagonal(), problem.g.diagonal()
    sums = {Statistic.INPUT_GRAM: a, Statistic.OUTPUT_GRAD_GRAM: g}
    statistics = LayerStatistics(sums, len(problem.x), len(problem.x))
    found = decompose("layer", problem.weight, statistics, LpafConfig())
    error = problem.weight - found.truncate(2).product()
    expected = float((g[:, None] * error.square() * a).sum()) / (2 * len(problem.x) ** 2)
    assert found.spectrum.predicted_increase is not None
    assert found.spectrum.predicted_increase[2] == pytest.approx(expected)


@each_shape
def test_spare_units_change_nothing_and_can_learn(shape: tuple[int, int]) -> None:
    weight = torch.zeros(shape).double()
    weight[0, 0], weight[3, 5] = 2.0, 1.0
    factors = counted(Problem(weight, torch.zeros(1), torch.zeros(1))).truncate(5)
    torch.testing.assert_close(factors.product(), weight)
    assert not factors.outer[:, 2:].any()
    spare = factors.inner[2:]
    torch.testing.assert_close(spare @ spare.T, torch.eye(3).double())
    torch.testing.assert_close(spare @ factors.inner[:2].T, torch.zeros(3, 2).double())


def test_a_dense_weight_counts_evenly() -> None:
    problem = make_problem(6, 9)
    u, s, vt = torch.linalg.svd(problem.weight, full_matrices=False)
    expected = u[:, :3] * s[:3] @ vt[:3]
    torch.testing.assert_close(counted(problem).truncate(3).product(), expected)
