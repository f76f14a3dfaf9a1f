"""Dry runs, from shapes and from cached spectra."""

import json
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from api.plans import service
from core.database.states import JobState
from core.database.tables import Job, now
from core.planning.checkpoint import read_checkpoint
from core.planning.families import target_layers
from core.planning.fingerprints import stage_fingerprints
from core.planning.plan import Spectrum
from core.planning.spectra import load_spectra, save_spectra
from core.recipe import Recipe
from tests.api.conftest import Api, Json
from tests.factories import make_spectra


def keep(value: float) -> Json:
    return {"type": "keep_ratio", "value": value}


def store_spectra(api: Api, recipe: Json, tmp_path: Path, project: str | None = None) -> None:
    """What a job of this recipe would have left behind."""
    checkpoint = read_checkpoint(api.model)
    spectra = {}
    for number, layer in enumerate(target_layers(checkpoint)):
        values = np.sort(np.random.default_rng(number).random(layer.full_rank))[::-1]
        tail = np.append(values[::-1].cumsum()[::-1], 0.0)
        spectra[layer.name] = Spectrum(values, tail)
    save_spectra(tmp_path / "spectra.npz", spectra)
    dataset = api.get(f"/v1/datasets/{recipe['task']['dataset']['id']}").json()
    fingerprint = stage_fingerprints(
        Recipe.model_validate(recipe), checkpoint.digest, dataset["sha256"]
    )["spectra"]
    owner = {} if project is None else {"project_id": project}
    with api.session() as session, session.begin():
        row = make_spectra(session, fingerprint=fingerprint, **owner)
        api.app.state.storage.put_file(row.storage_key, tmp_path / "spectra.npz")


def test_shapes_alone_give_ranks_sizes_and_the_floor(api: Api) -> None:
    recipe = api.recipe(budget=keep(0.5))
    answer = api.post("/v1/plans", recipe)
    assert answer.status_code == 200
    found = answer.json()
    assert found["basis"] == "shape-only"
    assert found["plan"]["predicted_loss_increase"] is None
    assert len(found["plan"]["layers"]) == 12
    after = sum(layer["params_after"] for layer in found["plan"]["layers"])
    assert found["plan"]["target_params_after"] == after <= 512
    assert found["keep_ratio"] == after / 1024
    assert found["floor"]["target_params"] == 8 * 16 + 4 * 24
    assert found["resources"]["model_bytes_after"] == 4 * found["plan"]["model_params_after"]
    assert found["resources"]["time_class"] == "minutes"
    assert "nothing is predicted" in found["notes"][0]
    assert api.count(Job) == 0


def test_the_floor_is_the_smallest_budget_that_is_taken(api: Api) -> None:
    recipe = api.recipe()
    floor = api.post("/v1/plans", recipe).json()["floor"]["target_params"]
    budget = {"type": "params", "value": floor}
    assert api.post("/v1/plans", recipe | {"budget": budget}).status_code == 200
    refused = api.post("/v1/plans", recipe | {"budget": budget | {"value": floor - 1}})
    assert refused.json()["errors"][0]["code"] == "budget_below_floor"


def test_a_max_drop_has_no_plan_before_its_job(api: Api) -> None:
    recipe = api.recipe(budget={"type": "max_drop", "abs": 0.01})
    refused = api.post("/v1/plans", recipe)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/budget/type", "recipe_refused")
    assert "measured by the job itself" in error["detail"]
    assert api.post("/v1/jobs", recipe).status_code == 202


@pytest.mark.parametrize("allocation", ["sensitivity", "bayesian"])
def test_what_is_measured_by_the_job_is_uniform_before(
    api: Api, tmp_path: Path, allocation: str
) -> None:
    uniform = api.recipe(method={"type": "kfac"}, allocation={"type": "uniform"})
    store_spectra(api, uniform, tmp_path)
    measured = api.post("/v1/plans", uniform | {"allocation": {"type": allocation}}).json()
    expected = api.post("/v1/plans", uniform).json()
    assert (measured["basis"], expected["basis"]) == ("shape-only", "cached-spectra")
    ranks = [[layer["rank"] for layer in p["plan"]["layers"]] for p in (measured, expected)]
    assert ranks[0] == ranks[1]
    assert measured["plan"]["predicted_loss_increase"] is None
    assert "the job measures" in measured["notes"][0]


def test_a_budget_in_bytes(api: Api) -> None:
    recipe = api.recipe(budget={"type": "bytes", "value": 4 * 512 + 3})
    found = api.post("/v1/plans", recipe).json()["plan"]
    assert 4 * found["target_params_after"] <= 4 * 512
    half = api.post("/v1/plans", recipe | {"budget": keep(0.5)}).json()["plan"]
    assert found["layers"] == half["layers"]


def test_cached_spectra_predict(api_on_each: Api, tmp_path: Path) -> None:
    api = api_on_each
    recipe = api_on_each.recipe(method={"type": "kfac"})
    assert api.post("/v1/plans", recipe).json()["basis"] == "shape-only"
    store_spectra(api, recipe, tmp_path)
    found = api.post("/v1/plans", recipe).json()
    assert found["basis"] == "cached-spectra"
    assert found["plan"]["predicted_loss_increase"] > 0
    other_data = api.recipe(method={"type": "kfac"}, seed=18)
    assert api.post("/v1/plans", other_data).json()["basis"] == "shape-only"


def test_a_smaller_budget_is_predicted_to_cost_more(api: Api, tmp_path: Path) -> None:
    recipe = api.recipe(method={"type": "kfac"})
    store_spectra(api, recipe, tmp_path)
    costs = [
        api.post("/v1/plans", recipe | {"budget": keep(value)}).json()["plan"][
            "predicted_loss_increase"
        ]
        for value in (0.3, 0.5, 0.8)
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[2]


def test_another_projects_spectra_are_not_used(api: Api, tmp_path: Path) -> None:
    stranger = api.as_project("prj_other")
    recipe = api.recipe(method={"type": "kfac"})
    store_spectra(api, recipe, tmp_path, project="prj_other")
    assert api.post("/v1/plans", recipe).json()["basis"] == "shape-only"
    assert stranger.get("/v1/jobs").status_code == 200


def test_spectra_that_were_collected_are_done_without(api: Api, tmp_path: Path) -> None:
    recipe = api.recipe(method={"type": "kfac"})
    store_spectra(api, recipe, tmp_path)
    for file in api.stored_files():
        if file.endswith(".npz"):
            Path(file).unlink()
    assert api.post("/v1/plans", recipe).json()["basis"] == "shape-only"


def test_ten_plans_read_the_spectra_once_and_take_under_a_second_of_work(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = api.recipe(method={"type": "kfac"})
    store_spectra(api, recipe, tmp_path)
    reads: list[Path] = []
    load = load_spectra

    def counted(path: Path) -> dict[str, Spectrum]:
        reads.append(path)
        return load(path)

    monkeypatch.setattr(service, "load_spectra", counted)
    started = time.process_time()
    for step in range(10):
        budget = keep(0.3 + step / 20)
        assert api.post("/v1/plans", recipe | {"budget": budget}).status_code == 200
    assert time.process_time() - started < 1
    assert len(reads) == 1


def test_time_is_told_from_how_long_jobs_took_here(api_on_each: Api) -> None:
    api = api_on_each
    dataset = api.upload().json()["id"]
    recipe = api.recipe(dataset=dataset)
    assert api.post("/v1/plans", recipe).json()["time"] is None
    for seconds in (40, 50, 60):
        job_id = api.post("/v1/jobs", recipe).json()["id"]
        with api.session() as session, session.begin():
            row = session.get_one(Job, job_id)
            row.state = JobState.SUCCEEDED
            row.finished_at = now()
            row.started_at = row.finished_at - timedelta(seconds=seconds)
    found = api.post("/v1/plans", recipe).json()["time"]
    assert found == {"low_s": 42.0, "high_s": 58.0, "jobs": 3}
    other = api.as_project("prj_other")
    assert other.post("/v1/plans", other.recipe()).json()["time"] is None


def test_a_text_longer_than_the_model_reads_is_refused_before_any_job(api: Api) -> None:
    recipe = api.recipe(budget=keep(0.5))
    config = Path(recipe["model"]["path"]) / "config.json"
    known = json.loads(config.read_text()) | {"max_position_embeddings": 64}
    config.write_text(json.dumps(known))
    recipe["task"]["max_length"] = 65
    for address in ("/v1/plans", "/v1/jobs"):
        answer = api.post(address, recipe)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/task/max_length"
        assert "at most 64 tokens" in answer.text
    assert api.get("/v1/jobs").json()["data"] == []
