"""Products with a triangular factor leave out its zeros and nothing else."""

import pytest
import torch
from torch import Tensor

from core.compression.linalg import congruence, lower_times

SIZES = (1, 2, 5, 6, 7, 13, 64)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("triangular", [True, False])
def test_the_congruence_is_the_plain_product(size: int, triangular: bool) -> None:
    lower, matrix = random(size, size), random(size, size + 3)
    lower, matrix = lower.tril() if triangular else lower, matrix @ matrix.T
    whole, product = congruence(lower, matrix)
    torch.testing.assert_close(
        whole.tril(), (lower.T @ matrix @ lower).tril(), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(product, matrix @ lower, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("triangular", [True, False])
@pytest.mark.parametrize("columns", [1, 3])
def test_the_product_is_the_plain_one(size: int, triangular: bool, columns: int) -> None:
    lower, right = random(size, size), random(size, columns)
    lower = lower.tril() if triangular else lower
    torch.testing.assert_close(lower_times(lower, right), lower @ right, rtol=1e-12, atol=1e-12)


def test_a_root_of_fewer_columns_is_no_triangle() -> None:
    lower, matrix = random(5, 3), random(5, 5)
    whole, product = congruence(lower, matrix @ matrix.T)
    assert whole.shape == (3, 3)
    torch.testing.assert_close(product, matrix @ matrix.T @ lower)
