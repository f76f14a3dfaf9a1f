"""Truncations of methods without a loss unit, measured in the two-sided metric by brute force."""

import numpy as np
import pytest

from core.compression.factorization.registry import decompose
from core.recipe.methods import AsvdConfig, BolacoConfig, MethodConfig, SvdConfig, SvdLlmConfig
from core.recipe.statistics import two_sided
from tests.compression.factorization.problems import SHAPES, make_problem, only

CONFIGS: list[MethodConfig] = [SvdConfig(), AsvdConfig(), SvdLlmConfig(), BolacoConfig()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type)
def test_is_the_two_sided_norm_of_what_is_cut(shape: tuple[int, int], config: MethodConfig) -> None:
    problem = make_problem(*shape)
    needed = two_sided(*shape) | config.required_statistics(*shape)
    decomposition = decompose("layer", problem.weight, only(problem.statistics, needed), config)
    increase = decomposition.spectrum.predicted_increase
    assert increase is not None
    assert len(increase) == min(shape) + 1
    x = problem.x - problem.x.mean(0) if config.type == "bolaco" else problem.x
    a = x.T @ x  # what a bias makes up for is no error
    for rank in range(1, min(shape) + 1):
        error = problem.weight - decomposition.truncate(rank).product()
        squared = float((problem.g @ error @ a * error).sum())
        assert increase[rank] == pytest.approx(squared / (2 * 40 * 40), rel=1e-8, abs=1e-14)
    whole = float((problem.g @ problem.weight @ a * problem.weight).sum())
    assert increase[0] == pytest.approx(whole / (2 * 40 * 40))


@pytest.mark.parametrize("shape", SHAPES)
def test_svd_llm_never_predicts_a_loss_from_more_rank(shape: tuple[int, int]) -> None:
    decomposition = decompose(
        "layer", make_problem(*shape).weight, make_problem(*shape).statistics, SvdLlmConfig()
    )
    assert decomposition.spectrum.predicted_increase is not None
    assert (np.diff(decomposition.spectrum.predicted_increase) <= 0).all()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.type)
def test_there_is_none_without_the_grams(config: MethodConfig) -> None:
    problem = make_problem(6, 9)
    statistics = only(problem.statistics, config.required_statistics(6, 9))
    decomposition = decompose("layer", problem.weight, statistics, config)
    assert decomposition.spectrum.predicted_increase is None


def test_damping_is_that_of_the_inputs() -> None:
    """C + ε mean(diag A) W Wᵀ, though A is not held, and the same spectrum from A itself."""
    problem, config = make_problem(6, 9), SvdLlmConfig(input_damping=0.3)
    found = decompose("layer", problem.weight, problem.statistics, config).spectrum
    a = problem.a.numpy()
    damped = a + 0.3 * np.mean(np.diag(a)) * np.eye(9)
    weighted = problem.weight.numpy() @ np.linalg.cholesky(damped)
    expected = np.linalg.svd(weighted, compute_uv=False) ** 2
    np.testing.assert_allclose(found.squared_singular_values, expected)
