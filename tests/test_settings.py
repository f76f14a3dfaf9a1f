import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import LONGEST_SOCKET_PATH, Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RANKWISE_") or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKWISE_MODEL_ROOTS", f"/models{os.pathsep} /more{os.pathsep}")
    monkeypatch.setenv("RANKWISE_QUEUES", "default, big,")
    settings = Settings()
    assert settings.model_roots == (Path("/models"), Path("/more"))
    assert settings.queues == ("default", "big")


def test_the_environment_gives_another_process_the_same_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path,
        database_url="postgresql://host/name",
        redis_url="redis://host:1/0",
        model_roots=(Path("/a"), Path("/b")),
        queues=("x", "y"),
        heartbeat_s=0.5,
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_usual_names_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/name")
    monkeypatch.setenv("REDIS_URL", "redis://host:1/0")
    settings = Settings()
    assert settings.resolved_database_url == "postgresql://host/name"
    assert settings.resolved_redis_url == "redis://host:1/0"


@pytest.mark.parametrize("url", ["", "s3://bucket", "s3://bucket/", "s3://my.bucket-1/a/b"])
def test_storage_is_a_folder_or_a_bucket(url: str) -> None:
    assert Settings(storage_url=url).storage_url == url


@pytest.mark.parametrize(
    "url", ["bucket", "http://bucket", "s3://", "s3://B", "s3://bucket//a", "s3://-bucket", " "]
)
def test_other_storage_is_refused_at_start(url: str) -> None:
    with pytest.raises(ValidationError, match="storage_url"):
        Settings(storage_url=url)


def test_the_secret_of_a_bucket_is_not_shown() -> None:
    assert "canary" not in repr(Settings(s3_secret_access_key="canary"))


def test_the_broker_has_a_path_that_a_socket_can_have(tmp_path: Path) -> None:
    deep = Settings(data_dir=tmp_path / ("d" * 120))
    shallow = Settings(data_dir=Path("/srv/rankwise"))
    assert shallow.broker_socket == Path("/srv/rankwise/run/valkey.sock")
    assert len(os.fsencode(deep.broker_socket)) <= LONGEST_SOCKET_PATH
    assert deep.broker_socket == Settings(data_dir=deep.data_dir).broker_socket
    assert deep.broker_socket != Settings(data_dir=tmp_path / ("e" * 120)).broker_socket
    assert deep.resolved_redis_url == f"redis+socket://{deep.broker_socket}"
