"""The refit against its definition: dense roots, their inverses, and what no other Ŵ undercuts."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compression.factorization.refit import Refitted, refit, refitted_bias
from core.compression.factorization.registry import decompose
from core.compression.shifted_moments import ShiftedMoments
from core.errors import NumericalError
from core.recipe.methods import KfacConfig, SvdLlmConfig
from core.recipe.statistics import two_sided
from tests.compression.factorization.problems import SHAPES, Problem, make_problem, only

Matrix = NDArray[np.float64]
Config = SvdLlmConfig | KfacConfig
METHODS = [SvdLlmConfig(), KfacConfig(output_damping=0), KfacConfig(output_damping=0.3)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_method = pytest.mark.parametrize("method", METHODS, ids=["svd_llm", "kfac", "kfac-damped"])


def shifted_inputs(problem: Problem) -> Tensor:
    """x̂: what another model might give instead of x."""
    noise = torch.randn(problem.x.shape, generator=torch.Generator().manual_seed(3)).double()
    return 0.8 * problem.x + 0.3 * problem.x.std() * noise


def moments_of(problem: Problem, shifted: Tensor) -> ShiftedMoments:
    moments = ShiftedMoments.zeros(problem.x.shape[1], torch.device("cpu"))
    for part in (slice(0, 13), slice(13, None)):
        moments.see(problem.x[part], shifted[part])
    return moments


def gradient_gram(problem: Problem, method: Config) -> Matrix:
    if isinstance(method, SvdLlmConfig):
        return np.eye(len(problem.weight))
    g = problem.g.numpy()
    return np.asarray(g + method.output_damping * np.diag(g).mean() * np.eye(len(g)))


def square_root(matrix: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(values.clip(0)) @ vectors.T)


def refitted(
    problem: Problem, shifted: Tensor, damping: float, method: Config, rank: int
) -> Refitted:
    """With the statistics that a pass would have kept."""
    statistics = only(problem.statistics, two_sided(*problem.weight.shape))
    moments = moments_of(problem, shifted)
    return refit("layer", problem.weight, moments, damping, statistics, method, rank)


def objective(
    problem: Problem, shifted: Tensor, damping: float, g: Matrix, product: Matrix
) -> float:
    """‖G^½ (W X − Ŵ X̂)‖² + λ ‖G^½ (W − Ŵ) D^½‖²."""
    w, x, x_hat = problem.weight.numpy(), problem.x.numpy().T, shifted.numpy().T
    left = square_root(g)
    fit = np.square(left @ (w @ x - product @ x_hat)).sum()
    held = np.square(left @ (w - product) @ np.sqrt(ridge(x_hat, damping))).sum()
    return float(fit + held)


def ridge(x_hat: Matrix, damping: float) -> Matrix:
    """λD."""
    features, tokens = x_hat.shape
    return np.asarray(damping * features / tokens * np.diag(np.square(x_hat).sum(1)))


def optimum(problem: Problem, shifted: Tensor, damping: float, g: Matrix, rank: int) -> Matrix:
    """[G^½ W N S^-½]_k with both roots undone."""
    w, x, x_hat = problem.weight.numpy(), problem.x.numpy().T, shifted.numpy().T
    lam = ridge(x_hat, damping)
    left, right = square_root(g), square_root(x_hat @ x_hat.T + lam)
    weighted = left @ w @ (x @ x_hat.T + lam) @ np.linalg.inv(right)
    u, s, vt = np.linalg.svd(weighted, full_matrices=False)
    truncated = (u[:, :rank] * s[:rank]) @ vt[:rank]
    return np.asarray(np.linalg.inv(left) @ truncated @ np.linalg.inv(right))


@each_shape
@each_method
@pytest.mark.parametrize("damping", [1e-4, 0.1])
def test_is_the_optimum(shape: tuple[int, int], method: Config, damping: float) -> None:
    problem = make_problem(*shape)
    shifted, g = shifted_inputs(problem), gradient_gram(problem, method)
    for rank in (1, 3, 6):
        product = refitted(problem, shifted, damping, method, rank).factors.product().numpy()
        best = optimum(problem, shifted, damping, g, rank)
        np.testing.assert_allclose(product, best, atol=1e-9)
        least = objective(problem, shifted, damping, g, product)
        for seed in range(3):
            other = descended(problem, shifted, damping, g, rank, seed)
            assert least <= other * (1 + 1e-9)


def descended(
    problem: Problem, shifted: Tensor, damping: float, g: Matrix, rank: int, seed: int
) -> float:
    """What alternating least squares on the objective itself reaches from a random start."""
    w, x, x_hat = problem.weight.numpy(), problem.x.numpy().T, shifted.numpy().T
    left = square_root(g)
    lam = np.sqrt(ridge(x_hat, damping))
    seen, wanted = np.hstack([x_hat, lam]), left @ w @ np.hstack([x, lam])
    inner = np.random.default_rng(seed).normal(size=(rank, len(x_hat)))
    for _ in range(30):
        outer = np.linalg.lstsq((inner @ seen).T, wanted.T, rcond=None)[0].T
        inner = np.linalg.lstsq(outer, wanted, rcond=None)[0] @ np.linalg.pinv(seen)
    return objective(problem, shifted, damping, g, np.linalg.pinv(left) @ outer @ inner)


@each_shape
def test_at_full_rank_it_is_the_regression_on_the_shifted_inputs(shape: tuple[int, int]) -> None:
    """The dense outputs' least squares on x̂, by numpy, whatever weights the outputs."""
    problem = make_problem(*shape)
    shifted = shifted_inputs(problem)
    wanted = (problem.x @ problem.weight.T).numpy()
    solved = np.linalg.lstsq(shifted.numpy(), wanted, rcond=None)[0].T
    for method in METHODS:
        found = refitted(problem, shifted, 1e-13, method, min(shape)).factors.product()
        np.testing.assert_allclose(found.numpy(), solved, atol=1e-8)


@each_shape
@each_method
def test_without_a_shift_it_is_the_method_itself(shape: tuple[int, int], method: Config) -> None:
    problem = make_problem(*shape)
    plain = decompose("layer", problem.weight, problem.statistics, method)
    for rank in (2, 5):
        found = refitted(problem, problem.x, 1e-9, method, rank).factors
        other = plain.truncate(rank).product()
        torch.testing.assert_close(found.product(), other, rtol=1e-5, atol=1e-6)


@each_shape
@each_method
def test_reports_the_error_of_its_factors(shape: tuple[int, int], method: Config) -> None:
    problem = make_problem(*shape)
    shifted, g = shifted_inputs(problem), gradient_gram(problem, method)
    nothing = objective(problem, shifted, 0.1, g, np.zeros(shape))
    full = objective(problem, shifted, 0.1, g, optimum(problem, shifted, 0.1, g, min(shape)))
    for rank in (1, 4):
        found = refitted(problem, shifted, 0.1, method, rank)
        product = found.factors.product().numpy()
        lost = objective(problem, shifted, 0.1, g, product) - full
        expected = (lost / (nothing - full)) ** 0.5
        assert found.relative_error == pytest.approx(expected, rel=1e-6)


def test_inputs_that_are_gone_leave_the_weight() -> None:
    problem = make_problem(6, 9)
    found = refitted(problem, torch.zeros_like(problem.x), 0.1, SvdLlmConfig(), 6)
    torch.testing.assert_close(found.factors.product(), problem.weight)


def test_factors_are_balanced_and_of_the_weights_type() -> None:
    problem = make_problem(9, 6, dtype=torch.float32)
    factors = refitted(problem, shifted_inputs(problem), 0.1, KfacConfig(), 3).factors
    assert factors.outer.dtype == factors.inner.dtype == torch.float32
    torch.testing.assert_close(factors.outer.norm(dim=0), factors.inner.norm(dim=1))


def test_a_failed_solve_names_the_layer() -> None:
    problem = make_problem(6, 9)
    moments = moments_of(problem, shifted_inputs(problem) * float("nan"))
    with pytest.raises(NumericalError, match=r"encoder\.0\.query") as failed:
        refit("encoder.0.query", problem.weight, moments, 0.1, None, SvdLlmConfig(), 2)
    assert failed.value.hint


def test_the_bias_makes_up_for_the_mean_error() -> None:
    problem = make_problem(6, 9)
    shifted, bias = shifted_inputs(problem), torch.arange(6.0).double()
    moments = moments_of(problem, shifted)
    factors = refitted(problem, shifted, 0.1, SvdLlmConfig(), 2).factors
    found = refitted_bias(problem.weight, bias, factors, moments)
    dense = problem.x @ problem.weight.T + bias
    torch.testing.assert_close((shifted @ factors.product().T + found).mean(0), dense.mean(0))
    assert refitted_bias(problem.weight, None, factors, moments) is None
