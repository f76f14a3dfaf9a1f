"""The tables of methods that train: every row is a recipe, and all train equally long."""

from typing import Any

import pytest

from benchmarks.open_choices import CHOICES, KEEP_RATIOS
from benchmarks.sentiment import recipe_of
from benchmarks.trained_methods import EPOCHS, METHODS, TIERS
from core.recipe import Recipe

CASES = list(METHODS.items())
for method, rows in CHOICES.items():
    CASES += [(f"{method}, {name}", fields) for name, fields in rows.items()]


@pytest.mark.parametrize(("name", "fields"), CASES)
@pytest.mark.parametrize("keep", sorted({*KEEP_RATIOS, *TIERS["full"].keeps}))
def test_every_row_is_a_recipe(name: str, fields: dict[str, Any], keep: float) -> None:
    budget = {"type": "keep_ratio", "value": keep}
    assert Recipe.model_validate({**recipe_of(17), **fields, "budget": budget})


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_every_row_trains_equally_long(name: str, fields: dict[str, Any]) -> None:
    recipe = Recipe.model_validate({**recipe_of(17), **fields}).model_dump()
    method, finetune = recipe["method"], recipe["finetune"].get("epochs", 0)
    own = (method.get("pruning") or method.get("training") or recipe["adaptation"])["epochs"]
    assert own + finetune == 2 * EPOCHS


def test_choices_differ_from_the_defaults() -> None:
    for rows in CHOICES.values():
        recipes = [str(sorted(fields.items())) for fields in rows.values()]
        assert len(set(recipes)) == len(recipes)
