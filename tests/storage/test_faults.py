"""An object store that fails in the middle: nothing partial is ever seen, and a retry succeeds."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from core.storage.opening import open_storage
from core.storage.storage import Storage, StorageFull, StorageUnavailable
from tests.failing_proxy import FailingProxy, Fault, failing_proxy
from tests.object_store import BUCKET, ObjectStore

PART = 5 << 20
FOUR_PARTS = 3 * PART + 1234
UPLOAD = 7
"""Requests of a four-part upload: begin, four parts, complete, look."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's tries follow each other at once."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture(scope="module")
def proxy(object_store: ObjectStore) -> Iterator[FailingProxy]:
    with failing_proxy(object_store.endpoint) as running:
        yield running


@pytest.fixture
def settings(object_store: ObjectStore, proxy: FailingProxy, tmp_path: Path) -> Settings:
    proxy.work()
    given = object_store.settings(s3_endpoint=proxy.address)
    return Settings(data_dir=tmp_path / "data", **given)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(5).randbytes(FOUR_PARTS)


@pytest.fixture
def large(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "large"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("first", range(1, UPLOAD + 1))
@pytest.mark.parametrize("fault", Fault)
def test_a_store_that_goes_away_shows_nothing_partial(
    storage: Storage, proxy: FailingProxy, large: Path, content: bytes, fault: Fault, first: int
) -> None:
    """42 points: each request of an upload by each way to fail, and nothing works afterwards."""
    proxy.fail(fault, first=first)
    with pytest.raises(StorageUnavailable):
        storage.put_file("jobs/a/e1/model", large)
    assert len(proxy.seen) > first
    proxy.work()
    if storage.exists("jobs/a/e1/model"):  # it was complete before the store went away
        assert first >= UPLOAD - 1
        assert storage.open("jobs/a/e1/model").read() == content
    else:
        assert list(storage.list_prefix("jobs")) == []
    storage.put_file("jobs/a/e1/model", large)
    assert storage.open("jobs/a/e1/model").read() == content


@pytest.mark.parametrize("fault", Fault)
def test_one_failed_request_of_each_is_outlived(
    storage: Storage, proxy: FailingProxy, large: Path, content: bytes, fault: Fault
) -> None:
    """Every request fails once; what the store had done before its answer was lost is known."""
    for first in range(1, UPLOAD + 1):
        proxy.fail(fault, first=first, times=1)
        storage.put_file("key", large)
        assert len(proxy.seen) == UPLOAD + 1
    proxy.work()
    assert storage.open("key").read() == content


@pytest.mark.parametrize("fault", Fault)
def test_a_read_goes_on_where_an_answer_broke_off(
    storage: Storage, proxy: FailingProxy, large: Path, content: bytes, fault: Fault
) -> None:
    storage.put_file("key", large)
    for first in (1, 2, 3):
        proxy.fail(fault, first=first, times=1)
        with storage.open("key") as stream:
            assert stream.read() == content
    for first in (1, 2, 3):
        proxy.fail(fault, first=first)
        with pytest.raises(StorageUnavailable), storage.open("key") as stream:
            stream.read()


@pytest.mark.parametrize("fault", Fault)
def test_a_local_copy_is_whole_or_not_there(
    settings: Settings,
    storage: Storage,
    proxy: FailingProxy,
    large: Path,
    content: bytes,
    fault: Fault,
) -> None:
    storage.put_file("key", large)
    for first in (1, 2, 3):
        proxy.fail(fault, first=first)
        with pytest.raises(StorageUnavailable):
            storage.path("key")
        copies = settings.storage_copies_dir
        assert [path for path in copies.rglob("*") if path.is_file() and path.stat().st_size] == []
    proxy.work()
    assert storage.path("key").read_bytes() == content


@pytest.mark.parametrize("fault", Fault)
def test_each_question_says_that_the_store_is_away(
    storage: Storage, proxy: FailingProxy, large: Path, fault: Fault
) -> None:
    for ask in (storage.exists, storage.size, storage.open, storage.path, storage.delete_prefix):
        proxy.fail(fault, first=1)
        with pytest.raises(StorageUnavailable):
            ask("key")
    with pytest.raises(StorageUnavailable):
        list(storage.list_prefix("jobs"))
    with pytest.raises(StorageUnavailable) as caught:
        storage.check()
    assert "127.0.0.1" not in str(caught.value)


def test_a_deletion_cut_off_is_finished_by_the_next(
    storage: Storage, proxy: FailingProxy, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x")
    for number in range(5):
        storage.put_file(f"jobs/a/{number}", small)
    proxy.fail(Fault.BUSY, first=3)
    with pytest.raises(StorageUnavailable):
        storage.delete_prefix("jobs/a")
    proxy.work()
    storage.delete_prefix("jobs/a")
    assert list(storage.list_prefix("jobs")) == []


def test_a_wrong_bucket_or_key_is_told_in_plain_words(
    settings: Settings, tmp_path: Path, large: Path
) -> None:
    nowhere = settings.model_copy(update={"storage_url": "s3://no-such-bucket/x"})
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        open_storage(nowhere).put_file("key", large)
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        open_storage(nowhere).check()
    stranger = settings.model_copy(update={"s3_secret_access_key": "wrong"})
    with pytest.raises(StorageUnavailable, match=r"SignatureDoesNotMatch|AccessDenied"):
        open_storage(stranger).put_file("key", large)


def test_an_upload_whose_process_is_killed_is_never_seen(
    object_store: ObjectStore,
    settings: Settings,
    storage: Storage,
    proxy: FailingProxy,
    large: Path,
) -> None:
    """kill -9 after each number of requests that an upload makes."""
    program = (
        "import sys; from pathlib import Path; from core.settings import Settings\n"
        "from core.storage.opening import open_storage\n"
        "open_storage(Settings()).put_file('jobs/a/e1/model', Path(sys.argv[1]))\n"
    )
    environment = settings.as_environment() | {"PATH": "/usr/bin:/bin"}
    for requests in range(1, UPLOAD - 1):
        proxy.work()
        process = subprocess.Popen([sys.executable, "-c", program, str(large)], env=environment)
        deadline = time.monotonic() + 30
        while len(proxy.seen) < requests and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert list(storage.list_prefix("jobs")) == []
    storage.put_file("jobs/a/e1/model", large)
    assert storage.size("jobs/a/e1/model") == FOUR_PARTS
    client = object_store.client()
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def test_no_room_for_a_local_copy_is_a_full_disk(
    storage: Storage, large: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    storage.put_file("key", large)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        with pytest.raises(StorageFull, match="the disk is full"):
            storage.path("key")
    assert storage.path("key").read_bytes() == content
