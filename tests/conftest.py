"""Fixtures for everyone: real databases, a real broker, and settings that touch nothing else."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url

from core.database.migrate import upgrade
from core.database.sessions import Sessions, engine_of, make_sessions
from core.embedded.broker import broker_command, wait_for_broker
from core.settings import Settings, get_settings
from core.storage.local import LocalStorage
from tests.object_store import ObjectStore
from tests.object_store import object_store as started_object_store
from tests.postgres import create_database, drop_database, empty, postgres_server

DATABASES = ["sqlite", "postgresql"]

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # tests start many processes: let them share .pyc


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of a real broker, one for all tests."""
    with tempfile.TemporaryDirectory(prefix="vk-") as folder:
        socket = Path(folder) / "run" / "valkey.sock"
        server = subprocess.Popen(broker_command(socket, Path(folder) / "data"))
        try:
            wait_for_broker(socket)
            yield f"redis+socket://{socket}"
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The folder of a real PostgreSQL's socket, one server for all tests."""
    with postgres_server() as folder:
        yield folder


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A real S3 server, one for all tests."""
    with started_object_store() as store:
        yield store


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    file = tmp_path_factory.mktemp("migrated") / "rankwise.db"
    engine = engine_of(make_url(f"sqlite+pysqlite:///{file}"))
    upgrade(engine)
    engine.dispose()
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> str:
    """The URL of a migrated PostgreSQL database that tests share and leave as they found it."""
    url = create_database(postgres_url)
    engine = engine_of(make_url(url))
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite+pysqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres_url")
    url = create_database(server)
    yield url
    drop_database(server, url)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of each kind, this test's own."""
    if request.param == "sqlite":
        file = tmp_path / "rankwise.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), file)
        yield f"sqlite+pysqlite:///{file}"
        return
    url = request.getfixturevalue("migrated_postgres")
    yield url
    empty(url)


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """A migrated SQLite database, for tests that gain nothing from a second kind."""
    file = tmp_path / "rankwise.db"
    shutil.copyfile(migrated_sqlite, file)
    return f"sqlite+pysqlite:///{file}"


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings with a folder of the test's own, in the environment too, and quick timers.

    They name the database of `database_url` (or `sqlite_url`) and the broker of `valkey` where the
    test uses those fixtures.
    """
    used = request.fixturenames
    database = next((name for name in ("database_url", "sqlite_url") if name in used), None)
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=request.getfixturevalue(database) if database else "",
        redis_url=request.getfixturevalue("valkey") if "valkey" in used else "",
        heartbeat_s=0.2,
        lease_s=2.0,
        reaper_s=0.2,
        ring_again_s=1.0,
        handover_s=1.0,
        threads=1,
        device="cpu",
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield settings
    get_settings.cache_clear()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on each kind of database, migrated."""
    engine = engine_of(make_url(database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    return make_sessions(engine)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "data" / "storage")
