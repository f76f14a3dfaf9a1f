"""The paper's factors and bias, from principal components of outputs that are really computed."""

import numpy as np
import pytest
import torch
from torch import Tensor

from core.compression.factorization.decomposition import Decomposition
from core.compression.factorization.registry import decompose
from core.compression.low_rank import Factors
from core.recipe.methods import BolacoConfig, SvdLlmConfig
from tests.compression.factorization.problems import SHAPES, Problem, make_problem, only

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def off_centre(shape: tuple[int, int]) -> tuple[Problem, Tensor]:
    """Inputs about a mean that outweighs their spread, and a bias."""
    problem = make_problem(*shape, condition=3)
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(shape[1], generator=generator, dtype=torch.float64) * 5
    bias = torch.randn(shape[0], generator=generator, dtype=torch.float64)
    return Problem(problem.weight, problem.x + mean, problem.delta), bias


def decomposed(problem: Problem, has_bias: bool = True) -> Decomposition:
    config = BolacoConfig()
    statistics = only(problem.statistics, config.required_statistics(*problem.weight.shape))
    return decompose("layer", problem.weight, statistics, config, has_bias)


def outputs(problem: Problem, weight: Tensor, bias: Tensor) -> Tensor:
    return problem.x @ weight.T + bias


@each_shape
def test_is_the_papers(shape: tuple[int, int]) -> None:
    problem, b = off_centre(shape)
    y = outputs(problem, problem.weight, b).numpy()
    mean = y.mean(0)
    _, s, vt = np.linalg.svd(y - mean, full_matrices=False)
    decomposition = decomposed(problem)
    for rank in range(1, min(shape) + 1):
        u = vt[:rank].T
        factors = decomposition.truncate(rank)
        expected = u @ u.T @ problem.weight.numpy()
        np.testing.assert_allclose(factors.product().numpy(), expected, atol=1e-9)
        bias = decomposition.bias(factors, b)
        assert bias is not None
        outside = np.eye(shape[0]) - u @ u.T
        np.testing.assert_allclose(bias.numpy(), outside @ mean + u @ u.T @ b.numpy(), atol=1e-9)
    squares = decomposition.spectrum.squared_singular_values
    np.testing.assert_allclose(squares, s[: min(shape)] ** 2, rtol=1e-8)


@each_shape
def test_spectrum_is_the_squared_error_of_the_outputs(shape: tuple[int, int]) -> None:
    problem, b = off_centre(shape)
    y = outputs(problem, problem.weight, b)
    decomposition = decomposed(problem)
    for rank in range(1, min(shape)):
        factors = decomposition.truncate(rank)
        bias = decomposition.bias(factors, b)
        assert bias is not None
        lost = float((y - outputs(problem, factors.product(), bias)).square().sum())
        expected = decomposition.spectrum.squared_singular_values[rank:].sum()
        assert lost == pytest.approx(expected, rel=1e-7)


@each_shape
def test_the_bias_makes_up_for_factors_as_rounded(shape: tuple[int, int]) -> None:
    problem, b = off_centre(shape)
    exact = decomposed(problem).truncate(3)
    rounded = Factors(exact.outer.bfloat16().double(), exact.inner.bfloat16().double())
    bias = decomposed(problem).bias(rounded, b)
    assert bias is not None
    error = outputs(problem, problem.weight, b) - outputs(problem, rounded.product(), bias)
    assert error.mean(0).abs().max() < 1e-9
    assert error.abs().max() > 1e-4


@each_shape
def test_without_a_bias_it_is_uncentred(shape: tuple[int, int]) -> None:
    problem, _ = off_centre(shape)
    found = decomposed(problem, has_bias=False)
    uncentred = decompose("layer", problem.weight, problem.statistics, SvdLlmConfig())
    for rank in (1, 3, 6):
        factors = found.truncate(rank)
        torch.testing.assert_close(factors.product(), uncentred.truncate(rank).product())
        assert found.bias(factors, None) is None


@each_shape
def test_a_single_token_is_all_mean(shape: tuple[int, int]) -> None:
    problem, b = off_centre(shape)
    problem = Problem(problem.weight, problem.x[:1], problem.delta[:1])
    decomposition = decomposed(problem)
    factors = decomposition.truncate(1)
    assert decomposition.relative_error(factors) == 0
    bias = decomposition.bias(factors, b)
    assert bias is not None
    torch.testing.assert_close(
        outputs(problem, factors.product(), bias), outputs(problem, problem.weight, b)
    )
