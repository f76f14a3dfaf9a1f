"""A sweep on a real worker: one adapted model and one statistics pass for all of its jobs."""

from pathlib import Path

import pytest
import yaml

from tests.end_to_end.client import Client, Json
from tests.end_to_end.test_command_line import Run, parsed, rankwise

__all__ = ["rankwise"]
BUDGETS = [{"type": "keep_ratio", "value": value} for value in (0.7, 0.3)]
METHODS = [{"method": {"type": "kfac"}}, {"method": {"type": "fwsvd"}}]


@pytest.fixture(scope="module")
def memory() -> Json:
    return {}


@pytest.fixture
def swept(rankwise: Run, client: Client, tmp_path: Path, memory: Json) -> Json:
    """What the command line made of it, once for all tests."""
    if not memory:
        recipe = client.recipe(finetune={"type": "none"})
        del recipe["budget"], recipe["method"]
        spec = {"name": "mine", "recipe": recipe, "budgets": BUDGETS, "methods": METHODS}
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(spec), encoding="utf-8")
        memory["pareto"] = parsed(rankwise("sweep", path, "--wait", "--json"))
        memory["sweep"] = client.http.get("/v1/sweeps").json()["data"][0]
    return memory


def test_all_points_are_measured_on_the_validation_rows(swept: Json) -> None:
    assert swept["sweep"]["statuses"] == {"succeeded": 4}
    points = swept["pareto"]["points"]
    assert [point["cost"] for point in points] == sorted(point["cost"] for point in points)
    assert {point["method"] for point in points} == {"kfac", "fwsvd"}
    assert swept["pareto"]["split"] == "validation"
    assert swept["pareto"]["dense"]["value"] > 0.9
    assert any(point["on_front"] for point in points)


def test_dense_work_is_done_once(swept: Json, client: Client) -> None:
    points = client.http.get(swept["sweep"]["links"]["points"]).json()["data"]
    for stage in ("adapt", "statistics"):
        sources = [
            row["source"]
            for point in points
            for row in client.listed(point["job_id"], "stages")
            if row["stage"] == stage
        ]
        assert sorted(sources) == ["cache", "cache", "cache", "computed"], stage


def test_a_promoted_point_reads_the_test_split(swept: Json, rankwise: Run, client: Client) -> None:
    point = swept["pareto"]["points"][-1]
    job = parsed(rankwise("promote", swept["sweep"]["id"], point["job_id"], "--wait", "--json"))
    assert job["status"] == "succeeded"
    assert job["result"]["split"] == "test"
    assert job["result"]["metrics"]["factorized"]["accuracy"]["n"] == 60
    sources = {row["stage"]: row["source"] for row in client.listed(job["id"], "stages")}
    assert (sources["adapt"], sources["statistics"]) == ("cache", "cache")


def test_the_table_marks_the_front(swept: Json, rankwise: Run) -> None:
    shown = rankwise("pareto", swept["sweep"]["id"], "--against", "params").stdout
    assert "●" in shown
    assert all(point["job_id"] in shown for point in swept["pareto"]["points"])
