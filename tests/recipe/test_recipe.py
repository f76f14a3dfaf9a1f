"""What a recipe comes to: defaults, hash, schema, the statistics that it needs."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

import core
from core.planning.plan import Use
from core.recipe import Recipe
from core.recipe.budget import SpectrumAllocation, UniformAllocation
from core.recipe.methods import METHOD_CONFIGS
from core.recipe.statistics import LARGEST_GRAM_SIDE, Statistic
from tests.planning.problems import MINIMAL, recipe_with
from tests.recipe.examples import EVERYTHING, FULL, PRUNED

TWO_SIDED_WIDE = {Statistic.OUTPUT_GRAD_GRAM, Statistic.OUTPUT_GRAM}
TWO_SIDED_TALL = {Statistic.INPUT_GRAM, Statistic.INPUT_GRAD_GRAM}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "none"),
        ({"method": {"type": "lpaf"}}, "mixed_rank"),
        ({"method": {"type": "lpaf"}, "finetune": {"type": "none"}}, "none"),
        ({"method": PRUNED, "budget": EVERYTHING}, "none"),
    ],
)
def test_the_recovery_when_none_is_named(changes: dict[str, Any], expected: str) -> None:
    assert recipe_with(**changes).finetune.type == expected


@pytest.mark.parametrize("content", [MINIMAL, FULL], ids=["minimal", "full"])
def test_a_recipe_survives_json(content: dict[str, Any]) -> None:
    recipe = Recipe.model_validate_json(json.dumps(content))
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert again.hash == recipe.hash


def test_naming_the_defaults_changes_no_hash() -> None:
    bare = recipe_with()
    assert recipe_with(**json.loads(bare.model_dump_json())).hash == bare.hash


@pytest.mark.parametrize(
    "changes", [{"name": "x"}, {"labels": {"a": "b"}}, {"limits": {"max_runtime_s": 9}}]
)
def test_the_hash_ignores_what_does_not_change_the_result(changes: dict[str, Any]) -> None:
    assert recipe_with(**changes).hash == recipe_with().hash


@pytest.mark.parametrize("field", sorted(set(FULL) - {"name", "labels", "limits"}))
def test_the_hash_covers_every_other_field(field: str) -> None:
    compatible = {"allocation": {"type": "uniform"}} if field == "budget" else {}
    changed = recipe_with(**{**compatible, field: FULL[field]})
    assert changed.hash != recipe_with(**compatible).hash


def test_the_schema_describes_every_method() -> None:
    schema = Recipe.model_json_schema()
    json.dumps(schema, allow_nan=False)
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]["method"]["discriminator"]["mapping"]) == set(METHOD_CONFIGS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, SpectrumAllocation()),
        ({"method": {"type": "kfac"}}, SpectrumAllocation()),
        ({"method": {"type": "svd"}}, UniformAllocation()),
        ({"method": {"type": "fwsvd"}}, UniformAllocation()),
        ({"method": {"type": "svd_llm"}}, UniformAllocation()),
        ({"budget": {"type": "rank_ratio", "value": 0.3}}, UniformAllocation()),
        ({"budget": {"type": "params", "value": 10}}, SpectrumAllocation()),
        ({"budget": {"type": "bytes", "value": 10}}, SpectrumAllocation()),
        ({"budget": {"type": "max_drop", "abs": 0.01}}, SpectrumAllocation()),
    ],
)
def test_the_allocation_when_none_is_named(changes: dict[str, Any], expected: object) -> None:
    assert recipe_with(**changes).allocation == expected


@pytest.mark.parametrize(
    ("method", "allocation", "wide", "tall"),
    [
        ("kfac", "spectrum", TWO_SIDED_WIDE, TWO_SIDED_TALL),
        ("kfac", "uniform", TWO_SIDED_WIDE, TWO_SIDED_TALL),
        ("svd", "uniform", set(), set()),
        ("svd", "spectrum", TWO_SIDED_WIDE, TWO_SIDED_TALL),
        ("svd_llm", "uniform", {Statistic.OUTPUT_GRAM}, {Statistic.INPUT_GRAM}),
        ("svd_llm", "spectrum", TWO_SIDED_WIDE, TWO_SIDED_TALL),
        ("fwsvd", "spectrum", {Statistic.FISHER_IN}, {Statistic.FISHER_IN}),
        ("asvd", "uniform", {Statistic.INPUT_ABS_SUM}, {Statistic.INPUT_ABS_SUM}),
        (
            "asvd",
            "spectrum",
            TWO_SIDED_WIDE | {Statistic.INPUT_ABS_SUM},
            TWO_SIDED_TALL | {Statistic.INPUT_ABS_SUM},
        ),
        (
            "bolaco",
            "uniform",
            {Statistic.OUTPUT_GRAM, Statistic.INPUT_SUM},
            {Statistic.INPUT_GRAM, Statistic.INPUT_SUM},
        ),
        ("svd", "sensitivity", set(), set()),
        ("svd_llm", "bayesian", {Statistic.OUTPUT_GRAM}, {Statistic.INPUT_GRAM}),
    ],
)
def test_statistics_are_those_of_the_method_and_of_the_allocation(
    method: str, allocation: str, wide: set[Statistic], tall: set[Statistic]
) -> None:
    recipe = recipe_with(method={"type": method}, allocation={"type": allocation})
    assert recipe.required_statistics(4, 8) == wide
    assert recipe.required_statistics(8, 8) == wide
    assert recipe.required_statistics(8, 4) == tall
    assert recipe.needs_statistics == bool(wide)


@pytest.mark.parametrize(
    ("changes", "measures"),
    [
        ({}, False),
        ({"allocation": {"type": "uniform"}}, False),
        ({"allocation": {"type": "sensitivity"}}, True),
        ({"allocation": {"type": "bayesian"}}, True),
        ({"budget": {"type": "max_drop", "abs": 0.01, "metric": "matthews"}}, True),
    ],
)
def test_which_recipes_measure_their_plans(changes: dict[str, Any], measures: bool) -> None:
    assert recipe_with(**changes).measures_plans == measures


def test_a_rank_ratio_may_keep_layers_dense() -> None:
    allocation = {"type": "uniform", "keep_dense": ["a"]}
    recipe = recipe_with(budget={"type": "rank_ratio", "value": 0.3}, allocation=allocation)
    assert recipe.allocation.keep_dense == ("a",)


def test_embeddings_are_no_targets_unless_asked_for() -> None:
    assert not recipe_with().embeddings
    assert recipe_with(embeddings=True).embeddings
    assert recipe_with(embeddings=True).hash != recipe_with().hash
    page = (Path(core.__file__).parent.parent / "docs" / "embeddings.md").read_text("utf-8")
    assert '`"embeddings": true`' in page
    assert f"over {LARGEST_GRAM_SIDE:,}" in page
    assert all(f'"{use}"' in page for use in get_args(Use) if use != "linear")
