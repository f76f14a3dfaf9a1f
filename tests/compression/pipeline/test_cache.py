import errno
import shutil
import threading
from pathlib import Path

import pytest

import core.compression.cache as cache_module
from core.compression.cache import Cache, folder_bytes


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    folder = tmp_path / "finished"
    (folder / "inner").mkdir(parents=True)
    (folder / "weights").write_bytes(b"1234")
    (folder / "inner" / "config").write_bytes(b"56")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_is_given_can_be_taken(tmp_path: Path, finished: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert not cache.take("adapt", "f1", tmp_path / "nothing")
    assert cache.give("adapt", "f1", finished)
    assert cache.take("adapt", "f1", tmp_path / "taken")
    assert contents(tmp_path / "taken") == contents(finished)
    assert folder_bytes(tmp_path / "taken") == 6


def test_an_entry_is_never_changed(tmp_path: Path, finished: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.give("adapt", "f1", finished)
    other = tmp_path / "other"
    other.mkdir()
    assert not cache.give("adapt", "f1", other)
    assert contents(cache.entry("adapt", "f1")) == contents(finished)


def test_what_is_taken_outlives_the_entry(tmp_path: Path, finished: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.give("adapt", "f1", finished)
    cache.take("adapt", "f1", tmp_path / "taken")
    shutil.rmtree(cache.root)
    assert contents(tmp_path / "taken") == contents(finished)


def test_many_writers_make_one_whole_entry(tmp_path: Path, finished: Path) -> None:
    cache = Cache(tmp_path / "cache")
    created: list[bool] = []
    barrier = threading.Barrier(8)

    def give() -> None:
        barrier.wait()
        created.append(cache.give("adapt", "f1", finished))

    threads = [threading.Thread(target=give) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]
    assert contents(cache.entry("adapt", "f1")) == contents(finished)
    assert [path.name for path in (cache.root / "adapt").iterdir()] == ["f1"]


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []

    def full_after_one(source: str, destination: str) -> None:
        if copied:
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(destination)
        Path(destination).write_bytes(b"half")

    monkeypatch.setattr(cache_module, "_link_or_copy", full_after_one)
    with pytest.raises(OSError, match="No space left"):
        Cache(tmp_path / "cache").give("adapt", "f1", finished)
    assert copied
    assert list((tmp_path / "cache" / "adapt").iterdir()) == []
