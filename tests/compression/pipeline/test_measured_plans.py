"""Plans that whole runs search for: chosen on the validation split, the same after a kill."""

import json
import math
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from core.compression.allocation.scorer import Scorer
from core.compression.methods.compressed import load_compressed
from core.compression.models.factorized import factorized_layers
from core.compression.pipeline import run
from core.compression.run_state import Run
from core.compression.workspace import Workspace
from core.planning.plan import Plan
from core.recipe import Recipe
from core.recipe.events import Event, RunSucceeded, StageCheckpoint, StageFinished
from tests.compression.allocation.searches import finished
from tests.compression.tiny_models import (
    BAD,
    GOOD,
    make_recipe,
    make_workspace,
    save_encoder,
    sentences,
    tiny_tokenizer,
    write_csv,
)

MAX_DROP = {
    "budget": {"type": "max_drop", "metric": "loss", "abs": 0.05, "tolerance": 0.05},
    "allocation": {"type": "spectrum"},
}
SENSITIVITY = {"allocation": {"type": "sensitivity", "groups": 4, "rows": 30}}
BAYESIAN = {"allocation": {"type": "bayesian", "trials": 12, "rows": 30}}
BOTH = {
    "budget": {"type": "max_drop", "abs": 0.1, "evaluations": 3},
    "allocation": {"type": "sensitivity", "groups": 3, "measure": "single", "rows": 30},
}
REFITTED = {**MAX_DROP, "refit": {"type": "sequential", "rows": 64}}
PREDICTED = {"allocation": {"type": "spectrum"}}
SEARCHES = {
    "max_drop": MAX_DROP,
    "sensitivity": SENSITIVITY,
    "bayesian": BAYESIAN,
    "max_drop + sensitivity": BOTH,
    "max_drop + refit": REFITTED,
}
SPLITS = ["train"] * 8 + ["validation"] * 3 + ["test"] * 2

each_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=list(SEARCHES))


def rows() -> list[dict[str, str]]:
    found = sentences(260)
    return [{**row, "part": SPLITS[n % len(SPLITS)]} for n, row in enumerate(found)]


def other_test_rows() -> list[dict[str, str]]:
    """Train and validation are the same; what is tested on says the opposite of its label.

    The labels stay: rows are shuffled label by label, so they order the other splits too.
    """
    opposite = {"good": BAD[0], "bad": GOOD[0]}
    return [
        {**row, "text": opposite[row["label"]]} if row["part"] == "test" else row for row in rows()
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "texts.csv", rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model: Path, dataset: Path) -> Path:
    """What an earlier run adapted, as a checkpoint of its own."""
    workspace = make_workspace(tmp_path_factory.mktemp("trained"), model, dataset)
    planned(workspace, recipe_of(workspace))
    (folder,) = workspace.directory.glob("stages/adapt-*")
    tiny_tokenizer(folder).save_pretrained(folder)
    return folder


def recipe_of(workspace: Workspace, **changes: Any) -> Recipe:
    task = {
        "type": "text-classification",
        "dataset": {"type": "path", "path": str(workspace.dataset)},
        "max_length": 16,
        "splits": {"type": "named", "column": "part"},
    }
    return make_recipe(workspace, task=task, finetune={"type": "none"}, **changes)


def planned(workspace: Workspace, recipe: Recipe) -> Plan:
    """The plan, from a run that goes no further."""
    for event in run(recipe, workspace):
        if isinstance(event, StageFinished) and event.stage == "plan":
            return plan_in(workspace)
    raise AssertionError("no plan was made")


def plan_in(workspace: Workspace) -> Plan:
    (path,) = workspace.directory.glob("stages/plan-*/plan.json")
    return Plan.model_validate_json(path.read_bytes())


@each_search
def test_no_choice_touches_the_test_split(
    tmp_path: Path, model: Path, dataset: Path, search: dict[str, Any]
) -> None:
    other = write_csv(tmp_path / "other.csv", other_test_rows())
    plans = []
    for number, data in enumerate((dataset, other)):
        workspace = make_workspace(tmp_path / str(number), model, data)
        plans.append(planned(workspace, recipe_of(workspace, **search)))
    assert plans[0] == plans[1]
    assert {layer.rank for layer in plans[0].layers} != {None}


@each_search
def test_the_validation_split_decides(
    tmp_path: Path, trained: Path, dataset: Path, search: dict[str, Any]
) -> None:
    """Or the test above would prove nothing: other validation rows measure something else."""
    moved = {"test": "validation", "validation": "test", "train": "train"}
    swapped = [{**row, "part": moved[row["part"]]} for row in rows()]
    other = write_csv(tmp_path / "other.csv", swapped)
    seen = []
    for number, data in enumerate((dataset, other)):
        workspace = make_workspace(tmp_path / str(number), trained, data)
        plan = planned(workspace, recipe_of(workspace, adapt="never", adaptation={}, **search))
        sensitivity = list(workspace.directory.glob("stages/plan-*/sensitivity.json"))
        seen.append((plan.candidates, [path.read_text() for path in sensitivity]))
    assert seen[0] != seen[1]


def undisturbed_and_killed(
    tmp_path: Path, model: Path, dataset: Path, search: dict[str, Any], stop: int
) -> tuple[Plan, Plan, list[Event]]:
    whole = make_workspace(tmp_path / "whole", model, dataset)
    expected = planned(whole, recipe_of(whole, **search))
    workspace = make_workspace(tmp_path / "killed", model, dataset)
    recipe = recipe_of(workspace, **search)
    kill_at_checkpoint(workspace, recipe, stop)
    again = []
    for event in run(recipe, workspace):
        again.append(event)
        if isinstance(event, StageFinished) and event.stage == "plan":
            break
    return expected, plan_in(workspace), again


def kill_at_checkpoint(workspace: Workspace, recipe: Recipe, stop: int) -> None:
    work = run(recipe, workspace)
    reached = (e for e in work if isinstance(e, StageCheckpoint) and e.stage == "plan")
    list(takewhile(lambda event: event.step < stop, reached))
    work.close()


@each_search
def test_a_killed_search_goes_on_where_it_was(
    tmp_path: Path, model: Path, dataset: Path, search: dict[str, Any]
) -> None:
    expected, found, events = undisturbed_and_killed(tmp_path, model, dataset, search, 2)
    assert found == expected
    steps = [e.step for e in events if isinstance(e, StageCheckpoint) and e.stage == "plan"]
    assert steps == sorted(steps)
    assert steps[0] == 3


def outcome(workspace: Workspace, recipe: Recipe) -> tuple[dict[str, Any], list[Event]]:
    events = list(run(recipe, workspace))
    assert isinstance(events[-1], RunSucceeded)
    return events[-1].result, events


def test_the_result_lists_the_candidates_and_the_factor(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    result, events = outcome(workspace, recipe_of(workspace, **MAX_DROP))
    told = result["plan"]
    assert len(told["candidates"]) == 5
    met = [each for each in told["candidates"] if each["meets"]]
    assert told["keep_ratio"] == min(each["keep_ratio"] for each in met)
    assert all((each["drop"] <= 0.05) == each["meets"] for each in told["candidates"])
    ratios = [
        each["measured_loss_increase"] / each["predicted_loss_increase"]
        for each in told["candidates"]
        if each["measured_loss_increase"] > 0
    ]
    logs = [math.log(ratio) for ratio in ratios]
    assert told["loss_factor"] == pytest.approx(math.exp(sum(logs) / len(logs)))
    assert told["expected_loss_increase"] == pytest.approx(
        told["loss_factor"] * told["predicted_loss_increase"]
    )
    (summary,) = [e.summary for e in events if isinstance(e, StageFinished) and e.stage == "plan"]
    assert summary["candidates"] == 5
    assert summary["expected_loss_increase"] == told["expected_loss_increase"]


def test_candidates_are_refitted_as_the_model_will_be(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    """The plan that was taken measured, as a candidate, what its own refitted model measures."""
    workspace = make_workspace(tmp_path, model, dataset)
    recipe = recipe_of(workspace, **MAX_DROP, refit={"type": "sequential", "rows": 64})
    result, _ = outcome(workspace, recipe)
    told = result["plan"]
    (taken,) = [c for c in told["candidates"] if c["keep_ratio"] == told["keep_ratio"]]
    started = Run.begin(recipe, workspace)
    scorer = Scorer(started.load_dense(), started.task, started.examples["validation"], 32)
    factorized = load_compressed(started, "factorize")
    found = finished(scorer.replaced(factorized_layers(factorized)))
    assert taken["value"] == pytest.approx(found.metrics["loss"].value, abs=1e-9)
    alone = {**MAX_DROP, "refit": {"type": "none"}}
    plain, _ = outcome(workspace, recipe_of(workspace, **alone))
    drops = [each["drop"] for each in told["candidates"]]
    assert drops[0] != plain["plan"]["candidates"][0]["drop"]


def test_a_plan_of_one_budget_is_measured_once(tmp_path: Path, model: Path, dataset: Path) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    budget = {"type": "keep_ratio", "value": 0.2}
    result, _ = outcome(workspace, recipe_of(workspace, **PREDICTED, budget=budget))
    told = result["plan"]
    (candidate,) = told["candidates"]
    assert candidate["predicted_loss_increase"] == told["predicted_loss_increase"]
    assert candidate["measured_loss_increase"] > 0
    assert told["loss_factor"] == pytest.approx(
        candidate["measured_loss_increase"] / candidate["predicted_loss_increase"]
    )
    (report,) = workspace.directory.glob("stages/export-*/artifact/report.json")
    plan = json.loads(report.read_text())["plan"]
    assert plan["loss_factor"] == told["loss_factor"]
    assert plan["candidates"] == told["candidates"]


def test_methods_that_predict_nothing_have_no_factor(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    plain = {"method": {"type": "svd"}, "allocation": {"type": "uniform"}, "calibration": {}}
    result, _ = outcome(workspace, recipe_of(workspace, **plain))
    assert result["plan"]["loss_factor"] is None
    assert result["plan"]["candidates"] == []


def test_what_is_measured_needs_no_calibration_of_its_own(
    tmp_path: Path, model: Path, dataset: Path
) -> None:
    workspace = make_workspace(tmp_path, model, dataset)
    searched = {"method": {"type": "svd"}, "calibration": {}, **SENSITIVITY}
    plan = planned(workspace, recipe_of(workspace, **searched))
    assert plan.predicted_loss_increase is None
    assert plan.keep_ratio <= 0.4
    assert len({layer.rank for layer in plan.layers}) > 3
