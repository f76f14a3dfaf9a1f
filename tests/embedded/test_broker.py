import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from core.embedded.broker import BrokerError, answers, broker_command, wait_for_broker


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="vk-") as name:
        yield Path(name)


def start(folder: Path) -> subprocess.Popen[bytes]:
    socket = folder / "run" / "valkey.sock"
    server = subprocess.Popen(broker_command(socket, folder / "data"))
    wait_for_broker(socket)
    return server


def test_what_the_broker_took_survives_its_death(folder: Path) -> None:
    server = start(folder)
    with Redis(unix_socket_path=str(folder / "run" / "valkey.sock")) as client:
        client.rpush("default", "message")
        client.config_set("appendfsync", "always")
        client.rpush("default", "another")
    server.send_signal(signal.SIGKILL)
    server.wait()
    server = start(folder)
    with Redis(unix_socket_path=str(folder / "run" / "valkey.sock")) as client:
        assert client.lrange("default", 0, -1) == [b"message", b"another"]
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}
    server.terminate()
    server.wait()


def test_only_its_user_reaches_the_socket(folder: Path) -> None:
    server = start(folder)
    assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run" / "valkey.sock").stat().st_mode) == 0o700
    server.terminate()
    server.wait()


def test_a_broker_that_is_not_there_does_not_answer(folder: Path) -> None:
    socket = folder / "valkey.sock"
    assert not answers(socket)
    with pytest.raises(BrokerError, match="no answer"):
        wait_for_broker(socket, timeout_s=0.1)


def test_a_path_too_long_for_a_socket_is_refused(folder: Path) -> None:
    with pytest.raises(BrokerError, match="too long"):
        broker_command(folder / ("d" * 100) / "valkey.sock", folder / "data")


def test_a_link_in_the_sockets_place_is_refused(folder: Path) -> None:
    os.mkdir(folder / "elsewhere")
    os.symlink(folder / "elsewhere", folder / "run")
    with pytest.raises(BrokerError, match="belongs to another user or is no folder"):
        broker_command(folder / "run" / "valkey.sock", folder / "data")
