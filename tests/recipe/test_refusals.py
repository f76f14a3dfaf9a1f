"""What a recipe refuses, and where it says so."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.recipe import Recipe
from tests.planning.problems import MINIMAL, recipe_with
from tests.recipe.examples import EVERYTHING, FOUND, FULL, MIXED, PRUNED


def own_errors(body: str) -> list[ErrorDetails]:
    """Less the one about the allocation's default, which follows from any other error."""
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate_json(body)
    return [e for e in caught.value.errors() if e["type"] != "default_factory_not_called"]


def refused_at(content: dict[str, Any] | str) -> list[tuple[int | str, ...]]:
    body = content if isinstance(content, str) else json.dumps(content)
    return [error["loc"] for error in own_errors(body)]


def pointers(content: dict[str, Any]) -> list[str]:
    return [error["ctx"]["pointer"] for error in own_errors(json.dumps(content))]


@pytest.mark.parametrize(
    "value", ["0", "0.0", "-0.3", "1.5", "NaN", "Infinity", '"0.3"', "true", "null", "[0.3]"]
)
@pytest.mark.parametrize("kind", ["keep_ratio", "rank_ratio"])
def test_a_ratio_is_a_number_above_0_up_to_1(kind: str, value: str) -> None:
    body = json.dumps({**MINIMAL, "budget": {"type": kind, "value": 0}})
    where = refused_at(body.replace('"value": 0', f'"value": {value}'))
    assert where == [("budget", kind, "value")]


@pytest.mark.parametrize("value", [0, -1, 1.5, "7"])
def test_a_params_budget_is_a_positive_integer(value: object) -> None:
    where = refused_at({**MINIMAL, "budget": {"type": "params", "value": value}})
    assert where == [("budget", "params", "value")]


def objects_in(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all objects in a recipe but free-form labels."""
    if not isinstance(value, dict) or path == ("labels",):
        return []
    nested = [deep for key, each in value.items() for deep in objects_in(each, (*path, key))]
    return [path, *nested]


@pytest.mark.parametrize("path", objects_in(FULL), ids=lambda path: ".".join(path) or "recipe")
def test_unknown_fields_are_refused_at_every_level(path: tuple[str, ...]) -> None:
    content = json.loads(json.dumps(FULL))
    at = content
    for key in path:
        at = at[key]
    at["surprise"] = 1
    (where,) = refused_at(content)
    assert where[-1] == "surprise"
    assert [part for part in where if part in path] == list(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", {"type": "magic"}),
        ("method", {}),
        ("method", {"type": "svd", "output_damping": 0.1}),
        ("method", {"type": "kfac", "sides": "both"}),
        ("method", {"type": "svd_llm", "output_damping": 0.1}),
        ("method", {"type": "asvd", "alpha": 1.5}),
        ("method", {"type": "bolaco", "input_damping": 0.1}),
        ("method", {"type": "fwsvd", "sides": "left"}),
        ("method", {"type": "kfac", "output_damping": 1.5}),
        ("method", {"type": "lpaf", "weights": "gradients"}),
        ("method", {"type": "lpaf", "pruning": {"keep_ratio": 1}}),
        ("method", {"type": "lpaf", "pruning": {"selection": "layer"}}),
        ("method", {"type": "lpaf", "pruning": {"balance": True}}),
        ("method", {"type": "rankdyna", "training": {"importance": "size"}}),
        ("method", {"type": "rankdyna", "training": {"smoothing": 1}}),
        ("method", {"type": "rankdyna", "training": {"orthogonality": -1}}),
        ("finetune", {"type": "mixed_rank", "sparse_probability": 0}),
        ("finetune", {"type": "mixed_rank", "low_rank_share": 1}),
        ("finetune", {"type": "mixed_rank", "temperature": 2}),
        ("budget", {"type": "rank_ratio", "value": 0.3, "scope": "model"}),
        ("budget", {"type": "keep_ratio", "value": 0.3, "scope": "layers"}),
        ("allocation", {"type": "uniform", "min_rank": 0}),
        ("allocation", {"type": "uniform", "groups": 5}),
        ("allocation", {"type": "spectrum", "rows": 5}),
        ("allocation", {"type": "sensitivity", "trials": 5}),
        ("allocation", {"type": "sensitivity", "groups": 1}),
        ("allocation", {"type": "sensitivity", "measure": "mean"}),
        ("allocation", {"type": "bayesian", "groups": 5}),
        ("allocation", {"type": "bayesian", "trials": 0}),
        ("budget", {"type": "bytes", "value": 0}),
        ("budget", {"type": "bytes", "value": 0.5}),
        ("budget", {"type": "max_drop"}),
        ("budget", {"type": "max_drop", "abs": -0.01}),
        ("budget", {"type": "max_drop", "abs": 0.01, "scope": "model"}),
        ("budget", {"type": "max_drop", "abs": 0.01, "evaluations": 0}),
        ("allocation", {"type": "spectrum", "min_rank": 0}),
        ("refit", {"type": "none", "rows": 8}),
        ("refit", {"type": "sequential", "damping": 0}),
        ("refit", {"type": "sequential", "rows": 0}),
        ("refit", {"type": "sequential", "granularity": "model"}),
        ("finetune", {"type": "none", "epochs": 1}),
        ("finetune", {"type": "plain", "temperature": 2.0}),
        ("model", {"type": "path", "path": ""}),
        ("exports", []),
        ("exports", ["onnx"]),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", True),
        ("labels", {"bad key": "x"}),
        ("labels", {"team": 7}),
    ],
)
def test_what_a_part_does_not_know_is_refused(field: str, value: object) -> None:
    assert {where[0] for where in refused_at({**MINIMAL, field: value})} == {field}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"adapt": "never", "adaptation": {"epochs": 1}}, "/adaptation"),
        ({"method": {"type": "svd"}, "calibration": {"rows": 10}}, "/calibration"),
        (
            {"budget": {"type": "rank_ratio", "value": 0.3}, "allocation": {"type": "spectrum"}},
            "/allocation",
        ),
        ({"method": {"type": "svd"}, "refit": {"type": "sequential"}}, "/refit"),
        ({"embeddings": True, "calibration": {"streamed": True}}, "/calibration/streamed"),
        ({"method": {"type": "fwsvd"}, "refit": {"type": "sequential"}}, "/refit"),
        (
            {
                "budget": {"type": "rank_ratio", "value": 0.3},
                "allocation": {"type": "uniform", "min_rank": 2},
            },
            "/allocation/min_rank",
        ),
        (
            {
                "budget": {"type": "rank_ratio", "value": 0.3},
                "allocation": {"type": "uniform", "rank_multiple": 8},
            },
            "/allocation/rank_multiple",
        ),
        (
            {
                "budget": {"type": "max_drop", "abs": 0.01},
                "allocation": {"type": "bayesian"},
            },
            "/allocation",
        ),
        ({"budget": {"type": "max_drop", "metric": "perplexity", "abs": 1}}, "/budget/metric"),
        (
            {
                "method": {"type": "svd"},
                "allocation": {"type": "sensitivity"},
                "calibration": {"rows": 10},
            },
            "/calibration",
        ),
        ({"exports": ["dense", "dense"]}, "/exports"),
        ({"finetune": {"type": "mixed_rank"}}, "/finetune"),
        ({"method": {"type": "lpaf"}, "embeddings": True}, "/embeddings"),
        ({"method": {"type": "lpaf"}, "budget": {"type": "max_drop", "abs": 0.1}}, "/budget"),
        ({"method": {"type": "lpaf"}, "budget": EVERYTHING}, "/method/pruning/keep_ratio"),
        ({"method": PRUNED, "budget": EVERYTHING, "finetune": MIXED}, "/finetune"),
        ({"method": PRUNED, "calibration": {"rows": 9}}, "/calibration"),
        ({"method": PRUNED, "refit": {"type": "sequential"}}, "/refit"),
        ({"method": FOUND, "embeddings": True}, "/embeddings"),
        ({"method": FOUND, "budget": {"type": "max_drop", "abs": 0.1}}, "/budget"),
        ({"method": FOUND, "budget": {"type": "rank_ratio", "value": 0.3}}, "/budget"),
        ({"method": FOUND, "allocation": {"type": "spectrum"}}, "/allocation"),
        (
            {"method": FOUND, "allocation": {"type": "uniform", "rank_multiple": 8}},
            "/allocation/rank_multiple",
        ),
        ({"method": FOUND, "calibration": {"rows": 9}}, "/calibration"),
        ({"method": FOUND, "refit": {"type": "sequential"}}, "/refit"),
    ],
)
def test_fields_without_a_use_are_refused_by_pointer(changes: dict[str, Any], pointer: str) -> None:
    assert pointers({**MINIMAL, **changes}) == [pointer]


@pytest.mark.parametrize("method", ["lpaf", "rankdyna"])
def test_what_trains_refuses_embeddings_that_have_no_labels(method: str) -> None:
    task = {"type": "embedding", "dataset": MINIMAL["task"]["dataset"]}
    assert pointers({**MINIMAL, "task": task, "method": {"type": method}}) == ["/method"]


@pytest.mark.parametrize(
    ("pruning", "pointer"),
    [
        ({"initial_warmup": 0.6, "final_warmup": 0.5}, "/final_warmup"),
        ({"scores": "magnitude", "score_learning_rate": 0.01}, "/score_learning_rate"),
    ],
)
def test_fields_of_pruning_must_fit_together(pruning: dict[str, Any], pointer: str) -> None:
    method = {"type": "lpaf", "pruning": pruning}
    (error,) = own_errors(json.dumps({**MINIMAL, "method": method}))
    assert error["loc"] == ("method", "lpaf", "pruning")
    assert error["ctx"]["pointer"] == pointer


def test_warmups_of_dynamic_ranks_must_fit_together() -> None:
    method = {"type": "rankdyna", "training": {"initial_warmup": 0.6, "final_warmup": 0.5}}
    (error,) = own_errors(json.dumps({**MINIMAL, "method": method}))
    assert error["loc"] == ("method", "rankdyna", "training")
    assert error["ctx"]["pointer"] == "/final_warmup"


def test_mixed_ranks_cannot_compute_a_block_again() -> None:
    finetune = {"type": "mixed_rank", "gradient_checkpointing": True}
    content = {**MINIMAL, "method": {"type": "lpaf"}, "finetune": finetune}
    assert pointers(content) == ["/gradient_checkpointing"]


def test_splits_and_columns_must_fit_together() -> None:
    task = MINIMAL["task"]
    assert pointers({**MINIMAL, "task": {**task, "splits": {"train": 0.9}}}) == ["/train"]
    assert pointers({**MINIMAL, "task": {**task, "text_pair": "text"}}) == ["/label"]


def test_a_recipe_is_immutable() -> None:
    with pytest.raises(ValidationError):
        recipe_with().seed = 3  # type: ignore[misc]
