"""Recipes with their lines, and gates with their bounds."""

from pathlib import Path
from typing import Any

import pytest
from rankwise.errors import Refused, UsageError
from rankwise.gates import GateMissed, parse_gate
from rankwise.place import find_place
from rankwise.recipes import read_recipe, with_budget

RECIPE = """\
name: sentiment-30   # a comment
labels: {country: no, tier: 1.0e}
budget:
  type: keep_ratio
  value: 0.3
finetune:
  type: distill
  learning_rate: 1e-4
  epochs: 3
allocation:
  keep_dense:
    - a/b
    - c~d
exports: [safetensors]
patience: null
phi: true
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_are_those_of_json(tmp_path: Path) -> None:
    content = read_recipe(written(tmp_path, RECIPE)).content
    assert content["labels"] == {"country": "no", "tier": "1.0e"}
    assert content["finetune"] == {"type": "distill", "learning_rate": 1e-4, "epochs": 3}
    assert (content["patience"], content["phi"]) == (None, True)
    assert isinstance(content["finetune"]["epochs"], int)


def test_every_field_knows_its_line(tmp_path: Path) -> None:
    file = read_recipe(written(tmp_path, RECIPE))
    for pointer, line in (
        ("/name", 1),
        ("/budget", 3),
        ("/budget/value", 5),
        ("/finetune/learning_rate", 8),
        ("/allocation/keep_dense/1", 13),
        ("/budget/scope", 3),
        ("/task/dataset", 1),
        ("", 1),
    ):
        assert file.line_of(pointer) == line, pointer


def test_refusals_are_told_by_line(tmp_path: Path) -> None:
    file = read_recipe(written(tmp_path, RECIPE))
    errors: list[dict[str, Any]] = [
        {"pointer": "/budget/value", "detail": "must be at most 1", "hint": "0.3 keeps 30 %"},
        {"pointer": "/allocation/keep_dense/0", "detail": "is no layer"},
        {"pointer": "/task", "detail": "Field required"},
    ]
    told = file.explain(Refused(422, {"errors": errors})).splitlines()
    assert told == [
        f"{file.path}:5: budget.value: must be at most 1 (0.3 keeps 30 %)",
        f"{file.path}:12: allocation.keep_dense.0: is no layer",
        f"{file.path}:1: task: Field required",
    ]


def test_json_is_a_recipe_too(tmp_path: Path) -> None:
    path = written(tmp_path, '{"budget": {"type": "keep_ratio",\n "value": 1E-1}}')
    file = read_recipe(path)
    assert file.content == {"budget": {"type": "keep_ratio", "value": 0.1}}
    assert file.line_of("/budget/value") == 2


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\na: 2\n", 2, "'a' is given twice"),
        ("a: [1,\nb: }", 2, ""),
        ("- a\n- b\n", 1, "a recipe is a mapping"),
        ("", 1, "a recipe is a mapping"),
        ("just words", 1, "a recipe is a mapping"),
    ],
)
def test_what_is_no_recipe_is_refused_by_line(
    text: str, line: int, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"recipe.yaml:{line}: .*{told}"):
        read_recipe(written(tmp_path, text))


def test_tags_that_make_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="could not determine a constructor"):
        read_recipe(written(tmp_path, "a: !!python/object/apply:os.system ['true']\n"))


RESULT = {
    "params": {"targets": {"before": 1000, "after": 300}},
    "metrics": {
        "dense": {"accuracy": {"value": 0.9, "drop": None}},
        "factorized": {"accuracy": {"value": 0.7, "drop": 0.2}},
        "finetuned": {"accuracy": {"value": 0.88, "drop": 0.02}},
    },
}


@pytest.mark.parametrize(
    ("gate", "met"),
    [
        ("accuracy>=0.88", True),
        ("accuracy>0.88", False),
        (" accuracy >= 0.9 ", False),
        ("accuracy.drop<=0.02", True),
        ("accuracy.drop<2e-2", False),
        ("kept<=0.3", True),
        ("kept<0.3", False),
    ],
)
def test_a_gate_is_about_the_final_model(gate: str, met: bool) -> None:
    if met:
        parse_gate(gate).check(RESULT)
        return
    with pytest.raises(GateMissed) as missed:
        parse_gate(gate).check(RESULT)
    assert missed.value.exit_code == 6


@pytest.mark.parametrize(
    "text", ["accuracy", "accuracy=0.8", ">=0.8", "accuracy>=high", "a>=1.2.3"]
)
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(UsageError, match="no quality gate"):
        parse_gate(text)


def test_a_metric_that_the_result_lacks() -> None:
    with pytest.raises(UsageError, match="it has accuracy"):
        parse_gate("perplexity<=20").check(RESULT)


def test_options_go_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("RANKWISE_URL", raising=False)
    monkeypatch.delenv("RANKWISE_KEY", raising=False)
    with pytest.raises(UsageError, match="No API key"):
        find_place(None, None)
    (tmp_path / "rankwise").mkdir()
    (tmp_path / "rankwise" / "config.yaml").write_text("url: http://file\nkey: rw_file\n")
    assert find_place(None, None).url == "http://file"
    monkeypatch.setenv("RANKWISE_KEY", "rw_environment")
    assert (find_place(None, None).key, find_place(None, "rw_option").key) == (
        "rw_environment",
        "rw_option",
    )


WITH_BUDGET = "name: a\nbudget: {type: keep_ratio, value: 0.3}\n"


@pytest.mark.parametrize(
    ("options", "budget"),
    [
        ({}, {"type": "keep_ratio", "value": 0.3}),
        ({"keep": 0.2}, {"type": "keep_ratio", "value": 0.2}),
        ({"max_drop": "f1=0.015"}, {"type": "max_drop", "metric": "f1", "abs": 0.015}),
    ],
)
def test_a_budget_beside_the_recipe_takes_its_place(
    tmp_path: Path, options: dict[str, Any], budget: dict[str, Any]
) -> None:
    file = with_budget(read_recipe(written(tmp_path, WITH_BUDGET)), **options)
    assert file.content == {"name": "a", "budget": budget}
    assert file.line_of("/budget/abs") == 2


@pytest.mark.parametrize(
    "options",
    [
        {"keep": 0.2, "max_drop": "f1=0.1"},
        {"max_drop": "f1"},
        {"max_drop": "f1=-0.1"},
        {"max_drop": "f1=nan"},
    ],
)
def test_no_budget_is_guessed(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--max-drop"):
        with_budget(read_recipe(written(tmp_path, WITH_BUDGET)), **options)
