"""Every budget, allocation and field of theirs, and of a candidate, is in docs/budgets.md."""

from pathlib import Path
from typing import get_args

import pytest

from core.planning.plan import Candidate
from core.recipe.budget import Allocation, Budget

PAGE = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text(encoding="utf-8")
KINDS = (*get_args(get_args(Budget)[0]), *get_args(get_args(Allocation)[0]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_and_field_is_documented(kind: type) -> None:
    fields = dict(kind.model_fields)
    name = fields.pop("type").default
    assert f"`{name}`" in PAGE or f'"{name}"' in PAGE
    for field in fields:
        assert f"`{field}`" in PAGE or f'"{field}"' in PAGE, field


@pytest.mark.parametrize("field", sorted(Candidate.model_fields))
def test_every_field_of_a_candidate_is_documented(field: str) -> None:
    assert f"`{field}`" in PAGE
