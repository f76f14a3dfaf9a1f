"""Both ways to the Fisher sums, and which is taken when."""

import pytest
import torch

from core.compression.statistics import groups
from core.compression.statistics.fisher_sums import (
    from_gradients,
    from_similarities,
    gradients_are_cheaper,
    sum_of_squared_gradients,
)
from core.compression.statistics.tokens import Padding, Tokens
from core.recipe.statistics import Statistic

BOTH = frozenset({Statistic.FISHER_IN, Statistic.FISHER_OUT})


def tokens(examples: int, length: int, features: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(examples, length, features, generator=generator, dtype=torch.float64)
    mask = torch.ones(examples, length, dtype=torch.long)
    mask[1:, length - 1] = 0
    return Tokens(values, Padding.of({"attention_mask": mask}))


@pytest.mark.parametrize("asked", [BOTH, *(frozenset({one}) for one in BOTH)])
def test_both_ways_agree(asked: frozenset[Statistic]) -> None:
    x, delta = tokens(5, 4, 6, seed=0), tokens(5, 4, 3, seed=1)
    first, second = from_similarities(x, delta, asked), from_gradients(x, delta, asked)
    assert first.keys() == second.keys() == asked
    for statistic in asked:
        torch.testing.assert_close(first[statistic], second[statistic])


def test_groups_of_examples_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sum_of_squared_gradients(tokens(5, 4, 6, seed=0), tokens(5, 4, 3, seed=1))
    monkeypatch.setitem(groups.GROUP_POSITIONS, "cpu", 8)
    x, delta = tokens(5, 4, 6, seed=0), tokens(5, 4, 3, seed=1)
    assert [len(group) for group in x.groups] == [2, 2, 1]
    torch.testing.assert_close(sum_of_squared_gradients(x, delta), whole)
    torch.testing.assert_close(from_similarities(x, delta, BOTH), from_gradients(x, delta, BOTH))


def test_groups_leave_out_what_is_padding_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(groups.GROUP_POSITIONS, "cpu", 6)
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 0, 0]])
    values = torch.arange(20.0).view(4, 5, 1)
    found = Tokens(values, Padding.of({"attention_mask": mask})).zero_groups
    assert [group.squeeze(2).tolist() for group in found] == [
        [[0, 7], [16, 0]],
        [[11, 12, 13]],
        [[0, 1, 2, 3, 4]],
    ]


def test_long_texts_of_narrow_layers_build_their_gradients() -> None:
    """r* = 2 for 6 × 3: two sums from similarities cost as much at one token."""
    assert not gradients_are_cheaper(tokens(2, 1, 6, 0), tokens(2, 1, 3, 1), 2)
    assert gradients_are_cheaper(tokens(2, 2, 6, 0), tokens(2, 2, 3, 1), 2)
    assert not gradients_are_cheaper(tokens(2, 2, 6, 0), tokens(2, 2, 3, 1), 1)
