"""Recipes of a sweep: every combination once, sharing what can be shared."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core.planning.fingerprints import stage_fingerprints
from core.recipe import Recipe
from core.recipe.sweep import MOST_POINTS, SweepSpec, contents, sharing_statistics, source
from tests.planning.problems import MINIMAL

BASE = {name: value for name, value in MINIMAL.items() if name != "budget"}
BUDGETS = [{"type": "keep_ratio", "value": value} for value in (0.5, 0.3)]
METHODS: list[dict[str, Any]] = [
    {"preset": "best-no-training"},
    {"method": {"type": "fwsvd"}, "finetune": {"type": "plain"}},
    {"method": {"type": "rankdyna"}},
]


def sweep(**changes: Any) -> SweepSpec:
    content = {"recipe": BASE, "budgets": BUDGETS, "methods": METHODS, "seeds": [17, 18], **changes}
    return SweepSpec.model_validate_json(json.dumps(content))


def recipes(spec: SweepSpec) -> list[Recipe]:
    return [Recipe.model_validate_json(json.dumps(content)) for _, content in contents(spec)]


def test_every_combination_is_there_once() -> None:
    found = recipes(sweep(name="mine"))
    told = [(r.budget.value, r.method.type, r.seed) for r in found]  # type: ignore[union-attr]
    kinds = ("kfac", "fwsvd", "rankdyna")
    assert told == [(b, m, s) for b in (0.5, 0.3) for m in kinds for s in (17, 18)]
    assert [r.name for r in found] == [f"mine {n}" for n in range(1, 13)]
    assert {r.shared_seed for r in found} == {17}
    assert {r.evaluation.split for r in found} == {"validation"}
    assert found[2].finetune.type == "plain"
    assert found[0].refit.type == "sequential"


def test_without_axes_the_recipe_is_as_it_says() -> None:
    base = {**BASE, "method": {"type": "svd"}, "seed": 3, "evaluation": {"batch_size": 8}}
    (found,) = recipes(
        sweep(recipe=base, budgets=BUDGETS[:1], methods=[{}], seeds=[], split="test")
    )
    evaluation = {"batch_size": 8, "split": "test"}
    plain = {**base, "budget": BUDGETS[0], "evaluation": evaluation}
    assert found.hash == Recipe.model_validate(plain).hash


def test_statistics_are_one_pass_and_the_adapted_model_is_one() -> None:
    found = sharing_statistics(recipes(sweep()))
    prints = [stage_fingerprints(recipe, "model", "data") for recipe in found]
    assert len({each["adapt"] for each in prints}) == 1
    shared = [p for p, r in zip(prints, found, strict=True) if r.method.type != "rankdyna"]
    assert len({each["statistics"] for each in shared}) == 1
    before = recipes(sweep())
    assert [recipe.hash for recipe in found] == [recipe.hash for recipe in before]
    for recipe, own in zip(found, before, strict=True):
        for shape in ((4, 8), (8, 4), (4, 4)):
            assert own.required_statistics(*shape) <= recipe.required_statistics(*shape)


@pytest.mark.parametrize(
    ("pointer", "of_sweep"),
    [
        ("/budget/value", "/budgets/1/value"),
        ("/seed", "/seeds/0"),
        ("/method/type", "/methods/1/method/type"),
        ("/finetune", "/methods/1/finetune"),
        ("/refit", "/recipe/refit"),
        ("/task/dataset/id", "/recipe/task/dataset/id"),
    ],
)
def test_a_refused_field_is_found_in_the_sweep(pointer: str, of_sweep: str) -> None:
    spec = sweep()
    place = [place for place, _ in contents(spec)][8]
    assert (place.budget, place.method, place.seed) == (1, 1, 0)
    assert source(spec, place, pointer) == of_sweep


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {**BASE, "budget": BUDGETS[0]}}, "budgets"),
        ({"recipe": {**BASE, "shared_seed": 3}}, "shared_seed|recipe's seed"),
        ({"budgets": []}, "at least 1"),
        ({"seeds": list(range(32)), "budgets": BUDGETS * 3}, f"at most {MOST_POINTS}"),
        ({"methods": [{"budget": BUDGETS[0]}]}, "Extra inputs"),
    ],
)
def test_what_makes_no_sweep_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        sweep(**changes)
