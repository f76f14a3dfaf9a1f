"""A multipart upload, streamed to a temporary file that is gone when the request is over."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.bodies import refuse_declared_length, too_large
from api.problems import Problem, invalid_parameter
from core.settings import Settings

FIELDS = ("name", "format")
MAX_FIELD_BYTES = 1000
MAX_ENVELOPE_BYTES = 64 << 10
"""What boundaries, part headers and fields may add to the file's own size."""
WRITE_AT_ONCE = 1 << 20


@dataclass
class UploadForm:
    path: Path
    """The file's bytes; removed when the request is over."""
    file_name: str = ""
    bytes: int = 0
    sha256: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Equal forms have equal ones, whatever their boundaries."""
        content = [self.sha256, self.file_name, *(self.fields.get(name, "") for name in FIELDS)]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()


@asynccontextmanager
async def received_form(request: Request, settings: Settings) -> AsyncIterator[UploadForm]:
    """The request's form, its file refused as soon as it is larger than the settings allow."""
    boundary = _boundary(request)
    refuse_declared_length(request, settings.max_upload_bytes + MAX_ENVELOPE_BYTES)
    folder = settings.data_dir / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-") as file:
        reader = _FormReader(boundary, file, settings.max_upload_bytes)
        async for chunk in request.stream():
            reader.feed(chunk)
            if len(reader.waiting) >= WRITE_AT_ONCE:
                await run_in_threadpool(reader.flush)
        await run_in_threadpool(reader.finish)
        yield reader.form(Path(file.name))


def _boundary(request: Request) -> bytes:
    media, options = parse_options_header(request.headers.get("content-type", ""))
    if media != b"multipart/form-data":
        given = media.decode("latin-1") or "nothing"
        raise Problem("unsupported_media_type", f"send multipart/form-data, not {given}")
    if not options.get(b"boundary"):
        raise Problem("invalid_multipart", "the content type names no boundary")
    return options[b"boundary"]


class _FormReader:
    """The parser's callbacks: one file named `file`, and a few short fields."""

    def __init__(self, boundary: bytes, file: IO[bytes], limit: int):
        self.file = file
        self.limit = limit
        self.waiting = bytearray()
        self.digest = hashlib.sha256()
        self.size = 0
        self.file_name: str | None = None
        self.fields: dict[str, bytearray] = {}
        self.part = ""
        self.ended = False
        self._header_name = b""
        self._header_value = b""
        try:
            self.parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise Problem("invalid_multipart", str(error)) from None

    def feed(self, chunk: bytes) -> None:
        try:
            self.parser.write(chunk)
        except FormParserError as error:
            raise Problem("invalid_multipart", str(error)) from None

    def flush(self) -> None:
        self.digest.update(self.waiting)
        self.file.write(self.waiting)
        self.waiting.clear()

    def finish(self) -> None:
        if not self.ended:
            raise Problem("invalid_multipart", "the form ends before its last boundary")
        if self.file_name is None:
            raise invalid_parameter("file", "is missing", "send the table as the form's `file`")
        self.flush()
        self.file.flush()

    def form(self, path: Path) -> UploadForm:
        fields = {name: _text(name, bytes(value)) for name, value in self.fields.items()}
        return UploadForm(path, self.file_name or "", self.size, self.digest.hexdigest(), fields)

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_part,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self.part = ""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._open_part(self._header_value)
        self._header_name = self._header_value = b""

    def _open_part(self, disposition: bytes) -> None:
        _, options = parse_options_header(disposition)
        self.part = _text("name", options.get(b"name", b""))
        if self.part == "file":
            if self.file_name is not None:
                raise invalid_parameter("file", "is there twice", "upload one table at a time")
            self.file_name = Path(_text("file", options.get(b"filename", b""))).name[:200]
        elif self.part in FIELDS and self.part not in self.fields:
            self.fields[self.part] = bytearray()
        else:
            known = "the form has `file`, and may have `name` and `format`, each once"
            raise invalid_parameter(self.part[:64] or "(unnamed)", "is not taken", known)

    def _check_part(self) -> None:
        if not self.part:
            raise Problem("invalid_multipart", "a part has no content disposition")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self.part == "file":
            self.size += end - start
            if self.size > self.limit:
                raise too_large(self.limit)
            self.waiting += data[start:end]
        else:
            value = self.fields[self.part]
            value += data[start:end]
            if len(value) > MAX_FIELD_BYTES:
                raise invalid_parameter(self.part, f"is longer than {MAX_FIELD_BYTES} bytes")

    def _end(self) -> None:
        self.ended = True


def _text(name: str, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise invalid_parameter(name, "is not UTF-8") from None
    if "\0" in text:
        raise invalid_parameter(name, "holds a null character")
    return text
