"""Recipes by name: what they stand for, and what is said beside them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import core
from core.recipe import Recipe
from core.recipe.presets import PRESETS
from tests.planning.problems import MINIMAL

each_preset = pytest.mark.parametrize("name", PRESETS)
DOCS = Path(core.__file__).parents[1] / "docs" / "presets.md"


def parsed(**changes: Any) -> Recipe:
    return Recipe.model_validate_json(json.dumps({**MINIMAL, **changes}))


@each_preset
def test_a_preset_is_the_recipe_that_spells_it_out(name: str) -> None:
    fields = next(preset.fields for known, preset in PRESETS.items() if known == name)
    by_name, spelled_out = parsed(preset=name), parsed(**fields)
    assert by_name.hash == spelled_out.hash
    assert by_name.model_copy(update={"preset": None}) == spelled_out
    assert Recipe.model_validate_json(by_name.model_dump_json()) == by_name


def test_what_a_recipe_says_itself_goes_before_its_preset() -> None:
    found = parsed(preset="best-quality", finetune={"type": "none"}, exports=["dense"])
    assert found.finetune.type == "none"
    assert found.refit.type == "sequential"
    assert found.exports == ("dense",)


def test_a_preset_of_another_method_is_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        parsed(preset="papers/fwsvd", method={"type": "kfac"})
    (error,) = refused.value.errors()
    assert error["ctx"]["pointer"] == "/preset"


@pytest.mark.parametrize("name", ["papers/svd", "", 3, ["fast"], {}])
def test_an_unknown_preset_is_refused_by_its_field(name: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        parsed(preset=name)
    assert ("preset",) in [error["loc"] for error in refused.value.errors()]


def test_arrays_are_read_whatever_looked_at_the_content_first() -> None:
    task = {
        "type": "token-classification",
        "dataset": MINIMAL["task"]["dataset"],
        "tag_names": ["O", "B"],
    }
    allocation = {"type": "uniform", "keep_dense": ["a.b"]}
    found = parsed(task=task, allocation=allocation, exports=["safetensors", "dense"])
    assert getattr(found.task, "tag_names", None) == ("O", "B")
    assert found.allocation.keep_dense == ("a.b",)
    with pytest.raises(ValidationError):
        parsed(task={**task, "tag_names": [1, 2]})
    with pytest.raises(ValidationError):
        parsed(allocation={"type": "uniform", "keep_dense": "ab"})


@each_preset
def test_the_docs_tell_of_every_preset(name: str) -> None:
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")
