"""Storage in a bucket of an S3-compatible store. An object appears when its upload is complete."""

import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from core.settings import Settings
from core.storage.local_copies import LocalCopies
from core.storage.s3_client import answered, make_client
from core.storage.s3_stream import ObjectVersion, open_object
from core.storage.s3_upload import Upload
from core.storage.storage import StorageUnavailable, checked

DELETED_AT_ONCE = 1000
CHUNK_BYTES = 1 << 20


class S3Storage:
    """Keys are object names under the prefix of `s3://bucket/prefix`."""

    def __init__(self, settings: Settings) -> None:
        self._client = make_client(settings)
        self._quick_client = make_client(settings, quick=True)
        self._bucket, self._prefix = bucket_and_prefix(settings.storage_url)
        self._part_bytes = settings.s3_part_bytes
        self._copies = LocalCopies(settings.storage_copies_dir, settings.cache_max_bytes)

    def check(self) -> None:
        """The bucket can be listed; nothing is written."""
        with answered():
            self._quick_client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def put_file(self, key: str, source: Path) -> None:
        Upload(self._client, self._bucket, self._name(key), self._part_bytes).send(source)

    def open(self, key: str) -> BinaryIO:
        return open_object(self._version(key))

    def path(self, key: str) -> Path:
        version = self._version(key)
        return self._copies.path(_named(version), partial(_copy, version))

    def place(self, key: str, target: Path) -> None:
        version = self._version(key)
        self._copies.place(_named(version), partial(_copy, version), target)

    def exists(self, key: str) -> bool:
        try:
            self._head(key)
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        return int(self._head(key)["ContentLength"])

    def list_prefix(self, prefix: str) -> Iterator[str]:
        names = sorted(self._names(f"{self._name(prefix)}/"))
        yield from (name.removeprefix(self._prefix) for name in names)

    def delete_prefix(self, prefix: str) -> None:
        name = self._name(prefix)
        with answered():
            self._client.delete_object(Bucket=self._bucket, Key=name)
        names = iter(list(self._names(f"{name}/")))
        while batch := list(islice(names, DELETED_AT_ONCE)):
            self._delete(batch)

    def _name(self, key: str) -> str:
        return f"{self._prefix}{checked(key)}"

    def _head(self, key: str) -> dict[str, Any]:
        name = self._name(key)
        with answered(key):
            found: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=name)
        return found

    def _version(self, key: str) -> ObjectVersion:
        found = self._head(key)
        size = int(found["ContentLength"])
        return ObjectVersion(self._client, self._bucket, self._name(key), found["ETag"], size)

    def _names(self, beginning: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=beginning
        )
        with answered():
            for page in pages:
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def _delete(self, names: list[str]) -> None:
        wanted = {"Objects": [{"Key": name} for name in names], "Quiet": True}
        with answered():
            answer = self._client.delete_objects(Bucket=self._bucket, Delete=wanted)
        for error in answer.get("Errors", ()):
            raise StorageUnavailable(f"the object store did not delete: {error.get('Code')}")


def bucket_and_prefix(storage_url: str) -> tuple[str, str]:
    """Of `s3://bucket/prefix`; a prefix that is not empty ends in a slash."""
    bucket, _, prefix = storage_url.removeprefix("s3://").strip("/").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def _named(version: ObjectVersion) -> str:
    return "\n".join((version.bucket, version.key, version.etag, str(version.bytes)))


def _copy(version: ObjectVersion, file: BinaryIO) -> None:
    with open_object(version) as stream:
        shutil.copyfileobj(stream, file, CHUNK_BYTES)
    if file.tell() != version.bytes:
        raise StorageUnavailable(f"the object store gave {file.tell()} bytes of {version.bytes}")
