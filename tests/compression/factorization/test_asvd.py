"""The paper's factors U_k S_k and V_kᵀ D⁻¹, with the inverse taken."""

import numpy as np
import pytest
import torch

from core.compression.factorization.asvd import decompose
from core.recipe.methods import AsvdConfig
from tests.compression.factorization.problems import SHAPES, Problem, make_problem


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_is_the_papers(shape: tuple[int, int], alpha: float) -> None:
    problem = make_problem(*shape)
    d = np.abs(problem.x.numpy()).mean(0) ** alpha
    u, s, vt = np.linalg.svd(problem.weight.numpy() * d, full_matrices=False)
    decomposition = decompose(problem.weight, problem.statistics, AsvdConfig(alpha=alpha))
    for rank in range(1, min(shape) + 1):
        expected = (u[:, :rank] * s[:rank]) @ (vt[:rank] / d)
        found = decomposition.truncate(rank).product().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(decomposition.spectrum.squared_singular_values, s**2)


def test_the_scale_of_all_inputs_does_not_matter() -> None:
    problem = make_problem(6, 9)
    larger = Problem(problem.weight, problem.x * 1e4, problem.delta)
    one, other = (decompose(p.weight, p.statistics, AsvdConfig()) for p in (problem, larger))
    torch.testing.assert_close(one.truncate(3).product(), other.truncate(3).product())


def test_an_outlier_channel_is_kept_more_exactly() -> None:
    problem = make_problem(6, 9, condition=1)
    problem.x[:, 4] *= 1000
    errors = {
        alpha: (
            problem.weight
            - decompose(problem.weight, problem.statistics, config).truncate(3).product()
        )
        for alpha in (0.0, 0.5)
        for config in [AsvdConfig(alpha=alpha)]
    }
    assert errors[0.5][:, 4].norm() < errors[0.0][:, 4].norm() / 10


@pytest.mark.parametrize("shape", SHAPES)
def test_dead_inputs_cost_nothing(shape: tuple[int, int]) -> None:
    problem = make_problem(*shape)
    problem.x[:, 1::2] = 0
    decomposition = decompose(problem.weight, problem.statistics, AsvdConfig())
    alive = len(problem.x[0, ::2])
    error = problem.weight - decomposition.truncate(min(alive, *shape)).product()
    assert (problem.x @ error.T).norm() < 1e-9 * (problem.x @ problem.weight.T).norm()
