import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.compression.low_rank import Factors, LowRankLinear


def factors(dtype: torch.dtype = torch.float64) -> Factors:
    generator = torch.Generator().manual_seed(3)
    outer = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    inner = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    return Factors(outer.to(dtype), inner.to(dtype))


@pytest.mark.parametrize("bias", [torch.linspace(-1, 1, 5, dtype=torch.float64), None])
def test_is_the_dense_layer_of_its_product(bias: torch.Tensor | None) -> None:
    x = torch.randn(3, 4, 7, dtype=torch.float64)
    layer = LowRankLinear.from_factors(factors(), bias)
    torch.testing.assert_close(layer(x), F.linear(x, factors().product(), bias))


def test_counts_what_it_keeps() -> None:
    assert (factors().rank, factors().params) == (2, 5 * 2 + 2 * 7)
    layer = LowRankLinear.from_factors(factors(), torch.zeros(5))
    assert sum(parameter.numel() for parameter in layer.parameters()) == factors().params + 5


def test_shares_nothing_with_the_factors() -> None:
    made_from, bias = factors(), torch.zeros(5, dtype=torch.float64)
    layer = LowRankLinear.from_factors(made_from, bias)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1)
    torch.testing.assert_close(made_from.product(), factors().product())
    assert not bias.any()


def test_keeps_the_factors_dtype() -> None:
    layer = LowRankLinear.from_factors(factors(torch.bfloat16), None)
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.bfloat16}


def test_loads_the_weights_of_another() -> None:
    source = LowRankLinear.from_factors(factors(torch.float32), torch.ones(5))
    target = LowRankLinear(7, 5, 2, bias=True)
    target.load_state_dict(source.state_dict())
    x = torch.randn(2, 7)
    torch.testing.assert_close(target(x), source(x))


def test_its_source_stands_alone() -> None:
    names = {"torch": torch, "nn": nn, "F": F}
    exec(inspect.getsource(LowRankLinear), names)
    standalone = names["LowRankLinear"](7, 5, 2, bias=False)
    assert standalone(torch.randn(3, 7)).shape == (3, 5)
    assert list(standalone.state_dict()) == ["inner", "outer"]


def test_is_laid_out_as_it_is_after_loading() -> None:
    """Another memory layout gives other last bits."""
    outer, inner = factors().outer, factors().inner
    strided = Factors(outer.T.contiguous().T, inner.T.contiguous().T)
    layer = LowRankLinear.from_factors(strided, None)
    assert layer.outer.is_contiguous()
    assert layer.inner.is_contiguous()
