"""The command line against a real service, as a pipeline calls it: output, files, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.service import Service
from tests.end_to_end.client import Client

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rankwise(service: Service, tmp_path: Path) -> Run:
    """The installed command, with the service in its environment."""
    environment = os.environ | {
        "RANKWISE_URL": service.url,
        "RANKWISE_KEY": service.key,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "COLUMNS": "200",
    }
    program = Path(sys.executable).with_name("rankwise")

    def run(*arguments: object, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, *map(str, arguments)],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def recipe(client: Client, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(client.recipe(name="from the shell")), encoding="utf-8")
    return path


def parsed(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_from_a_table_to_a_checked_artifact(
    rankwise: Run, recipe: Path, client: Client, tmp_path: Path
) -> None:
    dataset = rankwise("datasets", "upload", client.texts).stdout.strip()
    assert dataset in rankwise("datasets", "list").stdout
    content = yaml.safe_load(recipe.read_text())
    content["task"]["dataset"]["id"] = dataset
    recipe.write_text(yaml.safe_dump(content))
    planned = parsed(rankwise("plan", recipe, "--json"))
    assert planned["keep_ratio"] <= 0.5
    assert "attention.self.query" in rankwise("plan", recipe).stdout
    folder = tmp_path / "smaller"
    gates = ("--quality-gate", "accuracy>=0.6", "--quality-gate", "kept<=0.5")
    done = rankwise("submit", recipe, "--wait", *gates, "--download", folder)
    assert "accuracy" in done.stdout
    assert "factorize" in done.stderr, "stages are told on stderr"
    assert {"config.json", "model.safetensors", "SHA256SUMS"} <= {p.name for p in folder.iterdir()}
    (job,) = parsed(rankwise("list", "--search", "from the shell", "--json"))
    assert job["status"] == "succeeded"
    assert job["id"] in rankwise("list").stdout
    assert "from the shell" in rankwise("get", job["id"]).stdout
    assert rankwise("logs", job["id"]).returncode == 0
    again = rankwise("download", job["id"], folder, "--json")
    assert len(parsed(again)) == len([p for p in folder.rglob("*") if p.is_file()])
    missed = rankwise("submit", recipe, "--wait", "--quality-gate", "accuracy>1", code=6)
    assert "accuracy>1 is missed" in missed.stderr
    (other,) = [j for j in parsed(rankwise("list", "--json")) if j["id"] != job["id"]][:1]
    assert "accuracy" in rankwise("compare", job["id"], other["id"]).stdout
    rankwise("delete", other["id"], "--yes")
    assert parsed(rankwise("list", "--json"))[0]["id"] == job["id"]


def test_a_recipe_that_is_refused_is_told_by_line(rankwise: Run, recipe: Path) -> None:
    content = yaml.safe_load(recipe.read_text())
    content["budget"]["value"] = 1.5
    content["method"]["damping"] = 1
    recipe.write_text(yaml.safe_dump(content))
    lines = recipe.read_text().splitlines()
    told = rankwise("submit", recipe, code=2).stderr
    value = next(n for n, line in enumerate(lines, 1) if "1.5" in line)
    damping = next(n for n, line in enumerate(lines, 1) if "damping" in line)
    assert f"recipe.yaml:{value}: budget.value: " in told
    assert f"recipe.yaml:{damping}: method.damping: " in told
    assert parsed(rankwise("list", "--status", "queued", "--json")) == []


def test_how_a_job_ends_is_the_exit_code(rankwise: Run, recipe: Path) -> None:
    waited = rankwise("submit", recipe, "--wait", "--timeout", "0", code=5)
    assert "goes on" in waited.stderr
    (job,) = parsed(rankwise("list", "--json", "--limit", "1"))
    rankwise("cancel", job["id"])
    rankwise("watch", job["id"], code=4)
    assert "is queued" in rankwise("retry", job["id"]).stdout
    assert rankwise("watch", job["id"]).returncode == 0
    content = yaml.safe_load(recipe.read_text())
    content["adaptation"]["learning_rate"] = 1.0
    recipe.write_text(yaml.safe_dump(content))
    failed = rankwise("submit", recipe, "--wait", code=3)
    assert "failed in adapt" in failed.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "missing.yaml"),
        ("submit",),
        ("nothing",),
        ("get", "job_nothing"),
        ("compare", "job_1"),
        ("list", "--limit", "0"),
    ],
)
def test_wrong_use_is_code_2(arguments: tuple[str, ...], rankwise: Run) -> None:
    assert rankwise(*arguments, code=2).stderr


def test_lists_schema_and_keys(rankwise: Run, models: Path) -> None:
    assert "best-quality" in rankwise("presets").stdout
    assert "kfac" in rankwise("methods").stdout
    assert "tiny" in rankwise("models").stdout
    schema = parsed(rankwise("schema"))
    assert {"model", "task", "budget", "preset"} <= set(schema["properties"])
    key = rankwise("keys", "issue", "pipeline", "--scope", "submit").stdout.strip()
    assert key.startswith("rw_")
    assert rankwise("list", RANKWISE_KEY=key).returncode == 0
    assert "scope" in rankwise("keys", "list", code=2, RANKWISE_KEY=key).stderr
    issued = parsed(rankwise("keys", "list", "--json"))
    identifier = next(each["id"] for each in issued if each["name"] == "pipeline")
    rankwise("keys", "revoke", identifier)
    rankwise("list", code=2, RANKWISE_KEY=key)


def test_the_doctor(rankwise: Run) -> None:
    assert rankwise("doctor").stdout.count("ok") >= 4
    findings = parsed(rankwise("doctor", "--json"))
    assert all(each["ok"] for each in findings)
    wrong = rankwise("doctor", code=1, RANKWISE_KEY="rw_wrong")
    assert "bad" in wrong.stdout
    away = rankwise("doctor", code=1, RANKWISE_URL="http://127.0.0.1:9")
    assert "does not answer" in away.stdout
