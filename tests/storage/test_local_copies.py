"""Local copies of objects: fetched once, whole or not there, the least recently used go first."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from core import file_lock
from core.storage.local_copies import JUST_USED_S, LocalCopies
from core.storage.storage import StorageUnavailable

VERSIONS = ["oldest", "middle", "newest"]


def hundred_bytes(file: BinaryIO) -> None:
    file.write(bytes(100))


def never(_: BinaryIO) -> None:
    raise AssertionError("it was there already")


@pytest.fixture
def copies(tmp_path: Path) -> LocalCopies:
    """Three copies of 100 bytes, long unused; 250 bytes may stay."""
    copies = LocalCopies(tmp_path, max_bytes=1000)
    for age, version in enumerate(reversed(VERSIONS), start=1):
        used = time.time() - JUST_USED_S - 1000 * age
        os.utime(copies._lock(copies.path(version, hundred_bytes)), (used, used))
    return LocalCopies(tmp_path, max_bytes=250)


def names(copies: LocalCopies) -> dict[str, str]:
    """Version → the name of its file."""
    return {version: copies.path(version, hundred_bytes).name for version in VERSIONS}


def test_the_least_recently_used_go_until_the_rest_fits(copies: LocalCopies) -> None:
    (gone,) = copies.evict()
    assert copies.evict() == []
    copies.path("middle", never)
    copies.path("newest", never)
    assert gone == copies.path("oldest", hundred_bytes)


def test_a_use_keeps_a_copy(copies: LocalCopies) -> None:
    copies.path("oldest", never)  # and what does not fit any more goes at once
    copies.path("newest", never)
    with pytest.raises(AssertionError):
        copies.path("middle", never)


def test_what_is_in_use_stays(copies: LocalCopies) -> None:
    tight = LocalCopies(copies.root, max_bytes=0)
    held = copies._lock(copies.root / "files" / names(LocalCopies(copies.root, 1000))["oldest"])
    for lock in held.parent.iterdir():
        os.utime(lock, (0, 0))
    with file_lock.held(held) as is_ours:
        assert is_ours
        assert len(tight.evict()) == 2
    assert [path.name for path in tight.evict()] == [held.name]


def test_what_was_just_asked_for_stays_beyond_the_limit(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=0)
    assert copies.path("a", hundred_bytes).read_bytes() == bytes(100)
    assert copies.evict() == []


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise ConnectionError

    copies = LocalCopies(tmp_path, max_bytes=1000)
    with pytest.raises(StorageUnavailable, match="the disk failed"):
        copies.path("a", broken)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []
    assert copies.path("a", hundred_bytes).read_bytes() == bytes(100)


def test_many_who_ask_at_once_fetch_once(tmp_path: Path) -> None:
    fetched: list[int] = []

    def slow(file: BinaryIO) -> None:
        fetched.append(1)
        time.sleep(0.3)
        file.write(b"whole")

    copies = LocalCopies(tmp_path, max_bytes=1000)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: copies.path("a", slow).read_bytes(), range(4)))
    assert (found, len(fetched)) == ([b"whole"] * 4, 1)


def test_a_placed_file_outlives_the_copy(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path / "copies", max_bytes=0)
    copies.place("a", hundred_bytes, tmp_path / "workspace" / "mine")
    for lock in (tmp_path / "copies" / "locks").iterdir():
        os.utime(lock, (0, 0))
    assert len(copies.evict()) == 1
    assert (tmp_path / "workspace" / "mine").read_bytes() == bytes(100)


def test_drafts_of_a_process_that_died_go(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=1000)
    copies.path("a", hundred_bytes)
    for name, age_s in (("old", 100_000), ("new", 10)):
        draft = tmp_path / "incomplete" / name
        draft.write_bytes(b"half")
        os.utime(draft, (time.time() - age_s,) * 2)
    copies.path("b", hundred_bytes)
    assert [path.name for path in (tmp_path / "incomplete").iterdir()] == ["new"]
