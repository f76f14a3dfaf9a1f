"""The shared cache of downloads: dropped least recently used first, never while in use."""

import os
from pathlib import Path

import pytest

from core.hub.cache import HubCache

COMMITS = ["a" * 40, "b" * 40, "c" * 40]


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    """Three commits of 100 bytes, the first used longest ago; 250 bytes may stay."""
    cache = HubCache(tmp_path, max_bytes=250)
    for age, commit in enumerate(reversed(COMMITS)):
        folder = cache.folder("model", "org/tiny", commit)
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(100))
        with cache.held(folder) as held:
            assert held
        os.utime(cache._lock(folder), (1000 - age, 1000 - age))
    return cache


def left(cache: HubCache) -> list[str]:
    return sorted(folder.name for folder in cache.root.glob("models/*/*"))


def test_the_least_recently_used_go_until_the_rest_fits(cache: HubCache) -> None:
    assert [folder.name for folder in cache.evict()] == [COMMITS[0]]
    assert left(cache) == COMMITS[1:]
    assert cache.evict() == []
    with cache.held(cache.folder("model", "org/tiny", COMMITS[1])):
        pass  # a use makes it the newest
    tighter = HubCache(cache.root, max_bytes=100)
    tighter.evict()
    assert left(cache) == [COMMITS[1]]


def test_a_commit_in_use_stays(cache: HubCache) -> None:
    with cache.held(cache.folder("model", "org/tiny", COMMITS[0])) as held:
        assert held
        os.utime(cache._lock(cache.folder("model", "org/tiny", COMMITS[0])), (1, 1))
        assert [folder.name for folder in cache.evict()] == [COMMITS[1]]


def test_a_commit_is_one_holders_at_a_time(cache: HubCache) -> None:
    folder = cache.folder("model", "org/tiny", COMMITS[0])
    with cache.held(folder), cache.held(folder) as second:
        assert not second
    with cache.held(folder) as free:
        assert free


def test_models_and_datasets_of_one_name_lie_apart(cache: HubCache) -> None:
    folders = {
        cache.folder(kind, id, COMMITS[0])  # type: ignore[arg-type]
        for kind in ("model", "dataset")
        for id in ("a/b", "a-b", "b")
    }
    assert len(folders) == 6
