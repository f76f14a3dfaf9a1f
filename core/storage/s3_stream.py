"""An object as a file that can be sought in: ranges are asked for as they are read."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import (
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from urllib3.exceptions import HTTPError

from core.storage.s3_client import TRIES, answered
from core.storage.storage import StorageUnavailable

ASK_BYTES = 8 << 20
"""Of one range at most: an answer that is left unread costs a connection."""
BUFFER_BYTES = 256 << 10
BROKEN = (
    *(ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError),
    *(HTTPError, ConnectionError, TimeoutError),
)


@dataclass(frozen=True)
class ObjectVersion:
    """An object as it was when it was looked at; a range of another one is refused."""

    client: Any
    bucket: str
    key: str
    etag: str
    bytes: int

    def range(self, start: int, stop: int) -> Any:
        """The body of an answer that holds these bytes."""
        with answered(self.key):
            return self.client.get_object(
                Bucket=self.bucket,
                Key=self.key,
                Range=f"bytes={start}-{stop - 1}",
                IfMatch=self.etag,
            )["Body"]


def open_object(version: ObjectVersion) -> io.BufferedReader:
    return io.BufferedReader(_ObjectStream(version), BUFFER_BYTES)


class _ObjectStream(io.RawIOBase):
    """Asks again from where an answer broke off."""

    def __init__(self, version: ObjectVersion) -> None:
        self._version = version
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._version.bytes}
        position = max(0, origin[whence] + offset)
        if position != self._position:
            self._drop()
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        left = self._version.bytes - self._position
        if left <= 0 or not len(buffer):
            return 0
        content = self._read(min(left, len(buffer)))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, length: int) -> bytes:
        """At least one byte; an answer that ends is followed by the next range's."""
        for _ in range(TRIES):
            was_open = self._body is not None
            with contextlib.suppress(*BROKEN):
                content: bytes = self._opened().read(length)
                if content:
                    return content
            self._drop()
            if was_open:  # its end was the range's end: no failure
                return self._read(length)
        raise StorageUnavailable("the object store broke off its answers")

    def _opened(self) -> Any:
        if self._body is None:
            stop = min(self._version.bytes, self._position + ASK_BYTES)
            self._body = self._version.range(self._position, stop)
        return self._body

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
