"""A folder's own: nothing is left of a put that failed, and the disk's failures are told apart."""

import errno
import os
from pathlib import Path

import pytest

from core.storage.local import LocalStorage
from core.storage.storage import StorageFull, StorageUnavailable


def failing(number: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def files_of(storage: LocalStorage) -> list[str]:
    root = storage.path("kept").parent
    return [path.name for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("call", ["shutil.copyfileobj", "os.fsync", "pathlib.Path.rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_is_named(
    storage: LocalStorage,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
) -> None:
    storage.put_file("kept", source)
    with monkeypatch.context() as patched:
        patched.setattr(call, failing(number))
        with pytest.raises(StorageFull, match="disk is full"):
            storage.put_file("jobs/a/model.bin", source)
    assert not storage.exists("jobs/a/model.bin")
    assert files_of(storage) == ["kept"]
    storage.put_file("jobs/a/model.bin", source)
    assert storage.open("jobs/a/model.bin").read() == b"content"


def test_a_broken_disk_is_not_a_full_one(
    storage: LocalStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.copyfileobj", failing(errno.EIO))
    with pytest.raises(StorageUnavailable, match="Input/output error") as caught:
        storage.put_file("key", source)
    assert not isinstance(caught.value, StorageFull)


def test_a_folder_that_is_gone_fails_its_check(storage: LocalStorage, source: Path) -> None:
    storage.put_file("kept", source)
    (storage.path("kept").parent / ".incomplete").rmdir()
    with pytest.raises(FileNotFoundError):
        storage.check()
