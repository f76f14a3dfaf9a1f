"""The routes that the table of times compares do the same work."""

import pytest
import torch

from benchmarks.factorization_time import ROUTES, TWO_SIDED, Layer, measure, usual, verdicts
from core.compression.layer_statistics import LayerStatistics
from core.recipe.statistics import Statistic

SHAPES = [(12, 8), (8, 12), (10, 10)]


def layer(out_features: int, in_features: int) -> Layer:
    """With every Gram of random tokens and gradients."""
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(200, in_features, generator=generator, dtype=torch.float64)
    delta = torch.randn(200, out_features, generator=generator, dtype=torch.float64)
    weight = torch.randn(out_features, in_features, generator=generator)
    rows = {
        Statistic.INPUT_GRAM: x,
        Statistic.OUTPUT_GRAD_GRAM: delta,
        Statistic.OUTPUT_GRAM: x @ weight.double().T,
        Statistic.INPUT_GRAD_GRAM: delta @ weight.double(),
    }
    sums = {name: each.T @ each for name, each in rows.items()}
    traces = {name: float(total.trace()) for name, total in sums.items()}
    return Layer(weight, LayerStatistics(sums, 20, 200, traces), rank=3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("ours", "theirs"), [("svd_llm", "usual"), ("kfac", "two roots")])
def test_a_route_and_its_rival_find_the_same_optimum(
    ours: str, theirs: str, shape: tuple[int, int]
) -> None:
    case = layer(*shape)
    errors = [case.error(case.factors(route), route) for route in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    assert 0.1 < errors[0] < 1


def test_the_usual_route_lifts_a_gram_without_a_root() -> None:
    case = layer(8, 12)
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    singular = x.T @ x - 1e-9 * torch.eye(12).double()
    assert torch.linalg.cholesky_ex(singular)[1]
    found = usual(case.weight, singular, case.rank)
    assert torch.isfinite(found.product()).all()


def test_verdicts_are_shares_of_the_summed_time() -> None:
    cells = [
        {"layer": name, **measure(layer(*shape), route), "route": route, "route_seconds": seconds}
        for name, shape in zip("abc", SHAPES, strict=True)
        for route, seconds in zip(ROUTES, (1.0, 4.0, 2.0, 10.0), strict=True)
    ]
    found = [line for line in verdicts(cells) if "of the time" in line]
    assert [line.split(": ")[1].split(" ")[0] for line in found] == ["0.250", "0.500", "0.200"]
    assert [line.rsplit(": ", 1)[1] for line in found] == ["met", "missed", "met"]
    assert set(TWO_SIDED) <= set(ROUTES)
