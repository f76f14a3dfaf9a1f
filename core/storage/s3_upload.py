"""One file to one key: in one request, or in parts that become an object all at once."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.storage.s3_client import answered
from core.storage.storage import StorageUnavailable

MOST_PARTS = 10_000


@dataclass(frozen=True)
class Upload:
    """Parts are read into memory one at a time. What fails, fails with nothing visible."""

    client: Any
    bucket: str
    key: str
    part_bytes: int

    def send(self, source: Path) -> None:
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= self.part_bytes:
                self._send_whole(file.read())
            else:
                self._send_parts(file, max(self.part_bytes, -(-size // MOST_PARTS)))
            self._verify(file.tell())

    def _send_whole(self, content: bytes) -> None:
        with answered():
            self.client.put_object(Bucket=self.bucket, Key=self.key, Body=content)

    def _send_parts(self, file: BinaryIO, part_bytes: int) -> None:
        with self._begun() as upload:
            parts: list[dict[str, Any]] = []
            while content := file.read(part_bytes):
                parts.append(self._sent(upload, len(parts) + 1, content))
            with answered():
                self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    @contextlib.contextmanager
    def _begun(self) -> Iterator[dict[str, str]]:
        """Told to forget the parts if anything fails; a store that is away keeps them until its
        own rule for unfinished uploads."""
        place = {"Bucket": self.bucket, "Key": self.key}
        with answered():
            upload = place | {"UploadId": self.client.create_multipart_upload(**place)["UploadId"]}
        try:
            yield upload
        except BaseException:
            with contextlib.suppress(StorageUnavailable), answered():
                self.client.abort_multipart_upload(**upload)
            raise

    def _sent(self, upload: dict[str, str], number: int, content: bytes) -> dict[str, Any]:
        with answered():
            answer = self.client.upload_part(**upload, PartNumber=number, Body=content)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _verify(self, size: int) -> None:
        """The object is as long as what was read, whatever was announced."""
        with answered():
            found = self.client.head_object(Bucket=self.bucket, Key=self.key)["ContentLength"]
        if found != size:
            raise StorageUnavailable(f"the object store kept {found} bytes of {size}")
