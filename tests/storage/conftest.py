from pathlib import Path

import pytest

from core.settings import Settings
from core.storage.opening import open_storage
from core.storage.storage import Storage


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind of storage, empty."""
    if request.param == "local":
        return open_storage(Settings(data_dir=tmp_path / "data"))
    object_store = request.getfixturevalue("object_store")
    return open_storage(Settings(data_dir=tmp_path / "data", **object_store.settings()))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_bytes(b"content")
    return file
