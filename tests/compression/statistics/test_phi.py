"""φ against its definition, written down entry by entry."""

import math

import pytest
import torch

from core.compression.statistics.phi import phi


def by_definition(rows: list[list[float]]) -> float:
    entries: list[float] = []
    for row in rows:
        length = math.sqrt(sum(f * f for f in row))
        if length > 0:
            entries += [f / length for f in row]
    mean = sum(entries) / len(entries)
    return sum((entry - mean) ** 2 for entry in entries) / len(entries)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_is_the_variance_of_the_rows_at_length_one(scale: float) -> None:
    fisher = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)).double().square()
    fisher[3] = 0
    assert phi(fisher * scale) == pytest.approx(by_definition(fisher.tolist()))


def test_rows_count_by_their_shape_not_by_their_size() -> None:
    fisher = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)).double()
    sizes = torch.tensor([[1.0], [1e-9], [1e6], [3.0], [0.2]]).double()
    assert phi(fisher * sizes) == pytest.approx(phi(fisher))


def test_lies_between_even_rows_and_rows_of_one_weight() -> None:
    assert phi(torch.full((4, 6), 0.3).double()) == pytest.approx(0, abs=1e-15)
    assert phi(torch.eye(6).double()) == pytest.approx(1 / 6 - 1 / 36)
    assert phi(torch.zeros(4, 6).double()) == 0
