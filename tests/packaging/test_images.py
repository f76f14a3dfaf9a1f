"""Dockerfile and docker-compose.yml, as far as they can be held to the code without an engine."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = COMPOSE["services"]


def settings_names() -> set[str]:
    prefixed = {f"RANKWISE_{name.upper()}" for name in Settings.model_fields}
    return prefixed | {"DATABASE_URL", "REDIS_URL"}


def own_variables(text: str) -> set[str]:
    return set(re.findall(r"\bRANKWISE_[A-Z0-9_]+\b", text))


def build_targets() -> set[str]:
    return set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE))


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.yml"])
def test_every_setting_named_exists(file: str) -> None:
    # RANKWISE_PUBLISH is compose's own: the host's address for the API's port.
    named = own_variables((ROOT / file).read_text()) - {"RANKWISE_PUBLISH"}
    assert named
    assert named <= settings_names()


@pytest.mark.parametrize("service", ["migrate", "api", "worker-cpu", "worker-gpu"])
def test_services_build_targets_that_exist(service: str) -> None:
    assert SERVICES[service]["build"]["target"] in build_targets()


def test_images_run_as_an_ordinary_user() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    final = [stage for stage in stages if "\nCMD " in stage]
    assert len(final) == 3
    assert all(re.search(r"^USER rankwise$", stage, flags=re.MULTILINE) for stage in final)


def test_the_api_image_has_no_torch() -> None:
    api = re.search(r"^FROM base AS api\n(.*?)(?=^FROM )", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert api is not None
    assert "torch" not in api[1]
    locked = (ROOT / "requirements" / "service.lock").read_text()
    assert not re.search(r"^(torch|transformers)==", locked, flags=re.MULTILINE)


def test_copied_paths_exist() -> None:
    copied = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert len(copied) >= 8
    assert all((ROOT / path).exists() for path in copied)


def test_locks_that_images_install_exist() -> None:
    locks = re.findall(r"-r (requirements/\S+)", DOCKERFILE)
    assert set(locks) == {"requirements/service.lock", "requirements/worker.lock"}
    assert all((ROOT / lock).is_file() for lock in locks)


def test_modules_that_commands_name_exist() -> None:
    text = DOCKERFILE + (ROOT / "docker-compose.yml").read_text()
    modules = set(re.findall(r'"(?:-m|--app|--factory)", "([\w.]+)', text))
    assert modules == {"api.app", "worker.app", "core.database.migrate"}
    assert all(importlib.util.find_spec(module) is not None for module in modules)


def test_the_celery_command_parses() -> None:
    command = re.search(r'CMD \["celery", (.*?)\]', DOCKERFILE)
    assert command is not None
    arguments = re.findall(r'"([^"]+)"', command[1])
    done = subprocess.run(
        [sys.executable, "-m", "celery", *arguments, "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_services_wait_for_what_they_need(service: str) -> None:
    needed = SERVICES[service].get("depends_on", {})
    assert set(needed) <= set(SERVICES)
    for name, condition in needed.items():
        if condition["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[name]


@pytest.mark.parametrize("service", ["api", "worker-cpu", "worker-gpu"])
def test_docker_gives_time_to_hand_over(service: str) -> None:
    grace = SERVICES[service]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings().handover_s + 2


def test_volumes_named_are_declared() -> None:
    mounted = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if re.match(r"^\w+:", volume)
    }
    assert mounted == set(COMPOSE["volumes"])
