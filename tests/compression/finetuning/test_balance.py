import torch

from core.compression.finetuning.balance import balance_factors, balanced
from core.compression.low_rank import Factors, LowRankLinear


def lopsided(out: int, rank: int, into: int) -> Factors:
    generator = torch.Generator().manual_seed(3)
    outer = torch.randn(out, rank, generator=generator, dtype=torch.float64) * 1e3
    return Factors(outer, torch.randn(rank, into, generator=generator, dtype=torch.float64) * 1e-3)


def test_the_product_stays_and_both_sides_have_its_singular_values() -> None:
    factors = lopsided(9, 4, 7)
    found = balanced(factors)
    product = factors.product()
    assert torch.allclose(found.product(), product, rtol=1e-12, atol=1e-12)
    sigma = torch.linalg.svdvals(product)[:4].diag()
    assert torch.allclose(found.outer.T @ found.outer, sigma, atol=1e-9)
    assert torch.allclose(found.inner @ found.inner.T, sigma, atol=1e-9)


def test_units_without_a_singular_value_stay_as_zeros() -> None:
    outer, inner = lopsided(3, 5, 8).outer, lopsided(3, 5, 8).inner
    found = balanced(Factors(outer, inner))
    assert found.outer.shape == (3, 5)
    assert found.inner.shape == (5, 8)
    assert torch.allclose(found.product(), outer @ inner)
    nothing = balanced(Factors(torch.zeros(4, 2), torch.zeros(2, 4)))
    assert not bool(nothing.product().any())


def test_a_model_computes_what_it_did() -> None:
    factors = lopsided(9, 4, 7)
    layer = LowRankLinear.from_factors(
        Factors(factors.outer.float(), factors.inner.float()), torch.ones(9)
    )
    model = torch.nn.Sequential(layer)
    x = torch.randn(5, 7)
    before = model(x)
    balance_factors(model)
    assert torch.allclose(model(x), before, rtol=1e-4, atol=1e-5)
    assert torch.allclose(layer.outer.norm(), layer.inner.norm(), rtol=1e-5)
