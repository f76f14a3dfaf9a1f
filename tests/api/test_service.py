"""Starting up, health, and the methods' list."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from api.app import create_app
from core import keys
from core.database.sessions import engine_of, make_sessions
from core.database.tables import ApiKey
from core.recipe.methods import METHOD_CONFIGS
from core.recipe.presets import PRESETS
from core.settings import Settings
from core.storage.local import LocalStorage
from tests.api.conftest import Api

IMPORT = """
import json, sys, time
started = time.process_time()
import fastapi, sqlalchemy.orm
libraries = time.process_time() - started
import api.app
service = time.process_time() - started
heavy = {"torch", "transformers"} & sys.modules.keys()
print(json.dumps({"libraries": libraries, "service": service, "heavy": sorted(heavy)}))
"""


def test_the_api_starts_quickly_and_without_torch(tmp_path: Path) -> None:
    """Two seconds where FastAPI and SQLAlchemy take half of one: CPU time in units of theirs, for
    machines differ. The first start writes the bytecode that an installation has."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", IMPORT]
    starts = [
        json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
        for _ in range(5)
    ]
    assert starts[0]["heavy"] == []
    service, libraries = (min(start[what] for start in starts) for what in ("service", "libraries"))
    assert service < 4 * libraries


def test_the_bootstrap_key_is_issued_once(api: Api) -> None:
    assert api.count(ApiKey) == 1
    with TestClient(create_app(api.settings)) as again:
        assert again.get("/v1/jobs", headers=api.headers).status_code == 200
    assert api.count(ApiKey) == 1


def test_a_malformed_bootstrap_key_stops_the_start(sqlite_url: str, settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"bootstrap_key": keys.generate()[:-1] + "x"}))
    with pytest.raises(ValueError, match="not well-formed"), TestClient(app):
        pass


def test_the_service_starts_without_a_bootstrap_key(sqlite_url: str, settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        assert client.get("/healthz").json() == {"status": "ok"}


def test_ready_names_each_part(api_on_each: Api) -> None:
    answer = api_on_each.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {"database": {"ok": True}, "storage": {"ok": True}, "broker": {"ok": True}},
    }


def take_database_away(api: Api, tmp_path: Path) -> None:
    """A folder stands where the file should be."""
    (tmp_path / "no.db").mkdir()
    engine = engine_of(make_url(f"sqlite:///{tmp_path}/no.db"))
    api.app.state.read_sessions = make_sessions(engine, read_only=True)


@pytest.mark.parametrize("missing", ["database", "storage", "broker"])
def test_a_missing_part_is_named(api: Api, missing: str, tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {
        "storage": {},
        "broker": {"redis_url": f"redis+socket://{tmp_path}/no.sock"},
        "database": {},
    }
    api.app.state.settings = api.settings.model_copy(update=changes[missing])
    if missing == "database":
        take_database_away(api, tmp_path)
    if missing == "storage":
        api.app.state.storage = LocalStorage(tmp_path / "taken")
        shutil.rmtree(tmp_path / "taken")
    answer = api.http.get("/readyz")
    assert answer.status_code == 503
    failed = [name for name, check in answer.json()["checks"].items() if not check["ok"]]
    assert failed == [missing]
    assert str(tmp_path) not in answer.text


def test_a_database_that_is_away_is_told_as_such(api: Api, tmp_path: Path) -> None:
    take_database_away(api, tmp_path)
    refused = api.get("/v1/jobs")
    assert (refused.status_code, refused.json()["code"]) == (503, "database_away")
    assert refused.headers["retry-after"] == "5"


def test_every_preset_is_listed_with_its_fields(api: Api) -> None:
    listed = {preset["name"]: preset for preset in api.get("/v1/presets").json()["data"]}
    assert set(listed) == set(PRESETS)
    for name, preset in PRESETS.items():
        assert listed[name]["fields"] == preset.fields
        assert listed[name]["summary"] == preset.summary


def test_every_method_is_listed_with_its_schema(api: Api) -> None:
    listed = {method["type"]: method for method in api.get("/v1/methods").json()["data"]}
    assert set(listed) == set(METHOD_CONFIGS)
    for type, config in METHOD_CONFIGS.items():
        method = api.get(f"/v1/methods/{type}").json()
        assert method == listed[type]
        assert method["citation"] == config.citation
        assert method["schema"] == config.model_json_schema()
        assert method["stages"][0] == "resolve"
