"""FWSVD against the paper's own equations, written down slowly and in the paper's layout."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.compression.factorization.fwsvd import decompose
from core.recipe.methods import FwsvdConfig
from tests.compression.factorization.problems import SHAPES, Problem, make_problem

Matrix = NDArray[np.float64]


def paper_fisher(problem: Problem) -> Matrix:
    """Î_W of Hsu et al., eq. 5: the mean over the data of the squared gradient, for each weight w
    of W [in, out] on its own."""
    examples, (out_features, in_features) = len(problem.x), problem.weight.shape
    fisher = np.zeros((in_features, out_features))
    for d in range(examples):
        for i in range(in_features):
            for j in range(out_features):
                gradient = float(problem.x[d, i]) * float(problem.delta[d, j])
                fisher[i, j] += gradient**2 / examples
    return fisher


def paper_approximation(problem: Problem, rank: int) -> Matrix:
    """eq. 6 to 8: Î = diag(√Σ_j Î_W), Î W = U S Vᵀ, A = Î⁻¹ U_k S_k, B = V_kᵀ, W ≈ A B."""
    w = problem.weight.double().numpy().T
    row_weights = [np.sqrt(sum(row)) for row in paper_fisher(problem)]
    weighted = np.array([[s * w_ij for w_ij in row] for s, row in zip(row_weights, w, strict=True)])
    u, s, vt = np.linalg.svd(weighted, full_matrices=False)
    a = np.array([[u[i, r] * s[r] / row_weights[i] for r in range(rank)] for i in range(len(w))])
    approximation: Matrix = a @ vt[:rank]
    return approximation


@pytest.mark.parametrize("shape", SHAPES)
def test_is_the_papers(shape: tuple[int, int]) -> None:
    problem = make_problem(*shape, examples=11)
    decomposition = decompose(problem.weight, problem.statistics, FwsvdConfig())
    for rank in (1, 3, 6):
        product = decomposition.truncate(rank).product().numpy().T
        np.testing.assert_allclose(product, paper_approximation(problem, rank), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sides", ["output", "both"])
def test_the_variants_are_weighted_svds(shape: tuple[int, int], sides: str) -> None:
    problem = make_problem(*shape)
    left = problem.fisher.sum(1).sqrt().diag()
    right = problem.fisher.sum(0).sqrt().diag() if sides == "both" else torch.eye(shape[1])
    right = right.double()
    u, s, vt = torch.linalg.svd(left @ problem.weight @ right, full_matrices=False)
    decomposition = decompose(problem.weight, problem.statistics, FwsvdConfig(sides=sides))
    for rank in (1, 4, 6):
        best = left.inverse() @ (u[:, :rank] * s[:rank]) @ vt[:rank] @ right.inverse()
        torch.testing.assert_close(decomposition.truncate(rank).product(), best, atol=1e-11, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sides", ["input", "output", "both"])
def test_predicts_the_increase_of_the_fisher_it_assumes(shape: tuple[int, int], sides: str) -> None:
    """Σ F E² / (2N), F separable, and constant along the side that has no weight of its own."""
    problem, statistics = make_problem(*shape), make_problem(*shape).statistics
    row, column = problem.fisher.sum(1)[:, None], problem.fisher.sum(0)[None]
    assumed = {
        "input": column.expand(shape) / shape[0],
        "output": row.expand(shape) / shape[1],
        "both": row * column / problem.fisher.sum(),
    }[sides]
    decomposition = decompose(problem.weight, statistics, FwsvdConfig(sides=sides))
    predicted = decomposition.spectrum.predicted_increase
    assert predicted is not None
    for rank in range(1, min(shape) + 1):
        error = problem.weight - decomposition.truncate(rank).product()
        increase = float((assumed * error.square()).sum()) / (2 * statistics.examples)
        assert predicted[rank] == pytest.approx(increase, rel=1e-9, abs=1e-15)
    whole = float((assumed * problem.weight.square()).sum()) / (2 * statistics.examples)
    assert predicted[0] == pytest.approx(whole)
