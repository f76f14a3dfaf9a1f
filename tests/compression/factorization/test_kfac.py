"""The two-sided method against its definition with dense roots and their inverses."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compression.factorization.kfac import decompose
from core.recipe.methods import KfacConfig
from core.recipe.statistics import two_sided
from tests.compression.factorization.problems import SHAPES, Problem, make_problem, only

Matrix = NDArray[np.float64]
DAMPINGS = [(0.0, 0.0), (0.03, 0.1)]


def square_root(matrix: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    root: Matrix = vectors * np.sqrt(values.clip(0)) @ vectors.T
    return root


def damped(gram: Tensor, damping: float) -> Matrix:
    dense = gram.numpy()
    result: Matrix = dense + damping * np.mean(np.diag(dense)) * np.eye(len(dense))
    return result


def roots(problem: Problem, config: KfacConfig) -> tuple[Matrix, Matrix]:
    """G^½ and A^½ of the damped Grams."""
    return (
        square_root(damped(problem.g, config.output_damping)),
        square_root(damped(problem.a, config.input_damping)),
    )


def best(problem: Problem, config: KfacConfig, rank: int) -> Matrix:
    """G^-½ [G^½ W A^½]_k A^-½."""
    left, right = roots(problem, config)
    u, s, vt = np.linalg.svd(left @ problem.weight.numpy() @ right, full_matrices=False)
    truncated = (u[:, :rank] * s[:rank]) @ vt[:rank]
    solution: Matrix = np.linalg.inv(left) @ truncated @ np.linalg.inv(right)
    return solution


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("damping", DAMPINGS)
def test_is_the_optimum(shape: tuple[int, int], damping: tuple[float, float]) -> None:
    problem = make_problem(*shape)
    config = KfacConfig(input_damping=damping[0], output_damping=damping[1])
    statistics = only(problem.statistics, two_sided(*shape))
    decomposition = decompose(problem.weight, statistics, config)
    for rank in (1, 3, 6):
        product = decomposition.truncate(rank).product().numpy()
        np.testing.assert_allclose(product, best(problem, config, rank), atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("damping", DAMPINGS)
def test_predicts_its_own_error(shape: tuple[int, int], damping: tuple[float, float]) -> None:
    problem = make_problem(*shape)
    config = KfacConfig(input_damping=damping[0], output_damping=damping[1])
    statistics = only(problem.statistics, two_sided(*shape))
    decomposition = decompose(problem.weight, statistics, config)
    left, right = roots(problem, config)
    predicted = decomposition.spectrum.predicted_increase
    assert predicted is not None
    for rank in range(1, min(shape) + 1):
        factors = decomposition.truncate(rank)
        error = left @ (problem.weight - factors.product()).numpy() @ right
        squared = float(np.square(error).sum())
        assert predicted[rank] == pytest.approx(squared / (2 * 40 * 40), rel=1e-8, abs=1e-15)
        whole = float(np.square(left @ problem.weight.numpy() @ right).sum())
        assert decomposition.relative_error(factors) == pytest.approx(
            (squared / whole) ** 0.5, rel=1e-6, abs=1e-9
        )
    singular_values = np.linalg.svd(left @ problem.weight.numpy() @ right, compute_uv=False)
    np.testing.assert_allclose(
        decomposition.spectrum.squared_singular_values, singular_values**2, rtol=1e-9
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_stays_near_the_optimum_where_both_sides_are_badly_conditioned(
    shape: tuple[int, int],
) -> None:
    problem = make_problem(*shape, condition=1e5)
    config = KfacConfig(output_damping=0)
    decomposition = decompose(problem.weight, problem.statistics, config)
    left, right = roots(problem, config)
    weighted = left @ problem.weight.numpy() @ right
    singular_values = np.linalg.svd(weighted, compute_uv=False)
    for rank in (1, 3, 5):
        error = left @ (problem.weight - decomposition.truncate(rank).product()).numpy() @ right
        optimum = np.sqrt(np.square(singular_values[rank:]).sum())
        assert np.linalg.norm(error) <= optimum + 1e-7 * np.linalg.norm(weighted)


@pytest.mark.parametrize("shape", SHAPES)
def test_fewer_tokens_than_features_leave_a_finite_optimum(shape: tuple[int, int]) -> None:
    problem = make_problem(*shape, examples=4)
    decomposition = decompose(problem.weight, problem.statistics, KfacConfig(output_damping=0))
    left, right = roots(problem, KfacConfig(output_damping=0))
    for rank in (4, 6):
        product = decomposition.truncate(rank).product()
        assert torch.isfinite(product).all()
        error = left @ (problem.weight - product).numpy() @ right
        assert np.linalg.norm(error) < 1e-6 * np.linalg.norm(left @ problem.weight.numpy() @ right)
