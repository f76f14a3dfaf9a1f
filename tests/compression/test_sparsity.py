import pytest
import torch

from core.compression.sparsity import facts_of, numerical_rank, without_empty


def of_singular_values(*values: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    u, _ = torch.linalg.qr(torch.randn(12, len(values), generator=generator).double())
    v, _ = torch.linalg.qr(torch.randn(9, len(values), generator=generator).double())
    return u * torch.tensor(values).double() @ v.T


@pytest.mark.parametrize("turned", [False, True])
def test_ranks_count_singular_values(turned: bool) -> None:
    weight = of_singular_values(1.0, 0.5, 2e-3, 5e-4, 1e-9)
    facts = facts_of(weight.T if turned else weight)
    assert (facts.full_rank, facts.numerical_rank, facts.exact_rank) == (9, 3, 5)
    assert facts.sparsity == 0


def test_empty_rows_and_columns_are_counted() -> None:
    weight = torch.zeros(4, 5)
    weight[0, 1], weight[0, 2], weight[3, 1] = 1.0, 1.0, 2.0
    facts = facts_of(weight)
    assert (facts.empty_rows, facts.empty_columns) == (2, 3)
    assert (facts.numerical_rank, facts.exact_rank) == (2, 2)
    assert facts.sparsity == pytest.approx(17 / 20)
    assert without_empty(weight).shape == (2, 2)


def test_nothing_has_no_rank() -> None:
    facts = facts_of(torch.zeros(3, 4))
    assert (facts.numerical_rank, facts.exact_rank, facts.sparsity) == (0, 0, 1)
    assert numerical_rank(torch.zeros(3, 4)) == 0
