"""What every storage promises, on a folder and on a real S3 server."""

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.storage.storage import LONGEST_KEY, InvalidKey, Storage, checked

SIX_PARTS = 5 * (5 << 20) + 12_345

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\"),
    min_size=1,
    max_size=40,
).filter(lambda name: ".." not in name and not name.startswith("."))


def many_bytes(path: Path, size: int) -> bytes:
    content = random.Random(17).randbytes(size)
    path.write_bytes(content)
    return content


def test_what_was_put_is_found_whole(store: Storage, source: Path) -> None:
    store.put_file("jobs/a/e1/sub/model.bin", source)
    assert store.exists("jobs/a/e1/sub/model.bin")
    assert store.size("jobs/a/e1/sub/model.bin") == 7
    assert store.open("jobs/a/e1/sub/model.bin").read() == b"content"
    assert store.path("jobs/a/e1/sub/model.bin").read_bytes() == b"content"
    source.write_bytes(b"changed")
    assert store.open("jobs/a/e1/sub/model.bin").read() == b"content"


def test_an_empty_file_is_a_file(store: Storage, source: Path) -> None:
    source.write_bytes(b"")
    store.put_file("empty", source)
    assert store.exists("empty")
    assert store.size("empty") == 0
    assert store.open("empty").read() == b""
    assert store.path("empty").read_bytes() == b""


def test_a_second_put_replaces_the_first(store: Storage, source: Path) -> None:
    store.put_file("key", source)
    assert store.path("key").read_bytes() == b"content"
    source.write_bytes(b"newer")
    store.put_file("key", source)
    assert store.open("key").read() == b"newer"
    assert store.path("key").read_bytes() == b"newer"


def test_a_large_file_comes_back_the_same_in_any_parts(store: Storage, source: Path) -> None:
    content = many_bytes(source, SIX_PARTS)
    store.put_file("large", source)
    assert store.size("large") == SIX_PARTS
    with store.open("large") as stream:
        assert stream.read() == content
        for start, length in ((0, 1), (5 << 20, 3), ((5 << 20) - 2, 9), (SIX_PARTS - 4, 100)):
            stream.seek(start)
            assert stream.read(length) == content[start : start + length]
        assert stream.seek(-10, 2) == SIX_PARTS - 10
        assert stream.read() == content[-10:]
        assert stream.read() == b""
        stream.seek(SIX_PARTS + 10)
        assert stream.read(1) == b""
    assert store.path("large").read_bytes() == content


def test_prefixes_are_folders(store: Storage, source: Path) -> None:
    for key in ("jobs/a/e1/x", "jobs/a/e1/y/z", "jobs/a/e1/y.z", "jobs/a/e10/x", "jobs/b"):
        store.put_file(key, source)
    assert list(store.list_prefix("jobs/a/e1")) == [
        "jobs/a/e1/x",
        "jobs/a/e1/y.z",
        "jobs/a/e1/y/z",
    ]
    store.delete_prefix("jobs/a/e1")
    store.delete_prefix("jobs/b")
    store.delete_prefix("jobs/never-there")
    assert list(store.list_prefix("jobs")) == ["jobs/a/e10/x"]
    assert list(store.list_prefix("nowhere")) == []


def test_more_files_than_a_page_has_are_listed_and_deleted(store: Storage, source: Path) -> None:
    keys = [f"jobs/many/{number:04}" for number in range(1003)]
    for key in keys:
        store.put_file(key, source)
    assert list(store.list_prefix("jobs/many")) == keys
    store.delete_prefix("jobs/many")
    assert list(store.list_prefix("jobs")) == []


def test_what_is_missing_is_not_found(store: Storage, tmp_path: Path) -> None:
    assert not store.exists("missing")
    for ask in (store.open, store.size, store.path, lambda key: store.place(key, tmp_path / "x")):
        with pytest.raises(FileNotFoundError):
            ask("missing")
    assert not (tmp_path / "x").exists()


def test_a_source_that_is_missing_is_the_callers_fault(store: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file("key", tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        store.put_file("key", tmp_path)
    assert not store.exists("key")


def test_a_placed_file_outlives_its_key(store: Storage, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "workspace" / "inputs" / "data"
    store.put_file("key", source)
    store.place("key", target)
    store.place("key", target)
    store.delete_prefix("key")
    assert target.read_bytes() == b"content"
    assert [path.name for path in target.parent.iterdir()] == ["data"]


def test_storage_that_works_passes_its_check(store: Storage) -> None:
    store.check()
    assert list(store.list_prefix("jobs")) == []


KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join).filter(lambda k: len(k) <= LONGEST_KEY)


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_key_that_is_taken_keeps_its_bytes(
    store: Storage, tmp_path: Path, data: st.DataObject
) -> None:
    key = data.draw(KEYS)
    content = data.draw(st.binary(max_size=100))
    file = tmp_path / "drawn"
    file.write_bytes(content)
    folder = f"drawn/{''.join(random.choices(string.ascii_letters, k=12))}"
    store.put_file(f"{folder}/{key}", file)
    assert store.open(f"{folder}/{key}").read() == content
    assert list(store.list_prefix(folder)) == [f"{folder}/{key}"]
    store.delete_prefix(folder)
    assert not store.exists(f"{folder}/{key}")


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
def test_keys_that_lead_elsewhere_are_refused(store: Storage, source: Path, key: str) -> None:
    def listed(prefix: str) -> Iterator[str]:
        return iter(list(store.list_prefix(prefix)))

    for ask in (store.path, store.open, store.exists, store.size, store.delete_prefix, listed):
        with pytest.raises(InvalidKey):
            ask(key)
    with pytest.raises(InvalidKey):
        store.put_file(key, source)


@pytest.mark.parametrize("key", ["a", "jobs/a/e1/model.safetensors", "ü/名", "a..b/c", "a/.hidden"])
def test_ordinary_keys_are_themselves(key: str) -> None:
    assert checked(key) == key
