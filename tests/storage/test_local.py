from pathlib import Path

import pytest

from core.storage.local import LocalStorage
from core.storage.storage import InvalidKey, Storage, checked


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_bytes(b"content")
    return file


def test_what_was_put_is_found_whole(storage: LocalStorage, source: Path) -> None:
    kept: Storage = storage
    kept.put_file("jobs/a/e1/sub/model.bin", source)
    assert kept.exists("jobs/a/e1/sub/model.bin")
    assert kept.size("jobs/a/e1/sub/model.bin") == 7
    assert kept.open("jobs/a/e1/sub/model.bin").read() == b"content"
    assert kept.path("jobs/a/e1/sub/model.bin").read_bytes() == b"content"
    source.write_bytes(b"changed")
    assert kept.open("jobs/a/e1/sub/model.bin").read() == b"content"


def test_a_second_put_replaces_the_first(storage: LocalStorage, source: Path) -> None:
    storage.put_file("key", source)
    source.write_bytes(b"newer")
    storage.put_file("key", source)
    assert storage.open("key").read() == b"newer"


def test_a_failed_put_leaves_nothing(
    storage: LocalStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    storage.put_file("kept", source)
    monkeypatch.setattr("shutil.copyfileobj", full_disk)
    with pytest.raises(OSError, match="No space left"):
        storage.put_file("jobs/a/model.bin", source)
    assert not storage.exists("jobs/a/model.bin")
    root = storage.path("kept").parent
    assert [path for path in root.rglob("*") if path.is_file()] == [root / "kept"]


def test_prefixes_are_folders(storage: LocalStorage, source: Path) -> None:
    for key in ("jobs/a/e1/x", "jobs/a/e1/y/z", "jobs/a/e10/x", "jobs/b"):
        storage.put_file(key, source)
    assert list(storage.list_prefix("jobs/a/e1")) == ["jobs/a/e1/x", "jobs/a/e1/y/z"]
    storage.delete_prefix("jobs/a/e1")
    storage.delete_prefix("jobs/b")
    storage.delete_prefix("jobs/never-there")
    assert list(storage.list_prefix("jobs")) == ["jobs/a/e10/x"]
    assert list(storage.list_prefix("nowhere")) == []


def test_what_is_missing_is_not_found(storage: LocalStorage) -> None:
    assert not storage.exists("missing")
    with pytest.raises(FileNotFoundError):
        storage.open("missing")
    with pytest.raises(FileNotFoundError):
        storage.size("missing")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "..",
        "../outside",
        "jobs/../../outside",
        "jobs/..",
        "jobs//a",
        "jobs/",
        "jobs\\..\\a",
        "a\0b",
        "a\nb",
        ".incomplete/x",
        "a" * 601,
    ],
)
def test_keys_that_lead_elsewhere_are_refused(storage: LocalStorage, key: str) -> None:
    with pytest.raises(InvalidKey):
        storage.path(key)


@pytest.mark.parametrize("key", ["a", "jobs/a/e1/model.safetensors", "ü/名", "a..b/c", "a/.hidden"])
def test_ordinary_keys_are_themselves(key: str) -> None:
    assert checked(key) == key
