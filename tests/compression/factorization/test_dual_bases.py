"""Which of the two decompositions serves a rank: Σ² while the truncation leaves enough of it."""

import pytest
import torch
from torch import Tensor

from core.compression.factorization import dual_bases as module
from core.compression.factorization.dual_bases import SQUARES_HOLD, dual_bases

SPECTRUM = torch.tensor([1.0, 1e-1, 1e-2, 1e-4, 1e-7, 1e-9], dtype=torch.float64)
"""Σ whose squares span 1e18."""
TOLD_BY_SQUARES = (1, 2, 3)
TOLD_BY_PRODUCT = (4, 5, 6)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the product was decomposed."""
    calls: list[str] = []
    original = module.from_product

    def counted(lower: Tensor, gram_root: Tensor) -> module.DualBases:
        calls.append("product")
        return original(lower, gram_root)

    monkeypatch.setattr(module, "from_product", counted)
    return calls


def problem(spectrum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L, S and M with S = M Mᵀ, such that Lᵀ M has these singular values."""
    generator = torch.Generator().manual_seed(7)
    n = len(spectrum)
    lower = torch.randn(n, n, generator=generator, dtype=torch.float64).tril() + 3 * torch.eye(n)
    u, v = (
        torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
        for _ in range(2)
    )
    gram_root = torch.linalg.solve_triangular(lower.T, u * spectrum @ v.T, upper=True)
    return lower, gram_root @ gram_root.T, gram_root


def weighted_error(lower: Tensor, gram_root: Tensor, rank: int) -> float:
    """‖Lᵀ (I − D Bᵀ)ᵀ M‖² of the projection M ↦ B Dᵀ M, B the duals and D the directions."""
    bases = dual_bases(lower, gram_root @ gram_root.T, lambda: gram_root)
    projected = bases.duals(rank) @ (bases.directions(rank).T @ gram_root)
    return float((lower.T @ (gram_root - projected)).square().sum())


@pytest.mark.parametrize("rank", TOLD_BY_SQUARES + TOLD_BY_PRODUCT)
def test_a_rank_is_cut_at_its_optimum_by_whichever_can_tell(rank: int, taken: list[str]) -> None:
    lower, _, gram_root = problem(SPECTRUM)
    error = weighted_error(lower, gram_root, rank)
    optimum = float(SPECTRUM[rank:].square().sum())
    assert error == pytest.approx(optimum, rel=1e-6, abs=1e-25)
    assert bool(taken) == (rank in TOLD_BY_PRODUCT)


def test_the_product_is_decomposed_once_for_all_ranks(taken: list[str]) -> None:
    bases = dual_bases(*problem(SPECTRUM)[:2])
    for rank in TOLD_BY_PRODUCT:
        bases.directions(rank)
        bases.duals(rank)
    assert taken == ["product"]


def test_a_spectrum_that_squares_hold_never_needs_the_product(taken: list[str]) -> None:
    spectrum = torch.logspace(0, -4, 6, dtype=torch.float64)
    assert (spectrum[-1] / spectrum[0]) ** 2 > SQUARES_HOLD
    bases = dual_bases(*problem(spectrum)[:2])
    for rank in range(1, 7):
        bases.directions(rank)
    assert taken == []
