"""A model's files as a multipart upload, streamed to a folder that is gone with the request."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.bodies import refuse_declared_length, too_large
from api.problems import Problem, invalid_parameter
from core.planning.checkpoint import INDEX, MAX_SHARDS, SHARD_NAME, TOKENIZER_FILES, WEIGHTS
from core.settings import Settings

MAX_NAME = 200
MAX_FILES = MAX_SHARDS + len(TOKENIZER_FILES) + 2
MAX_ENVELOPE_BYTES = 256 << 10
"""What boundaries, part headers and the name may add to the files' own size."""
WRITE_AT_ONCE = 1 << 20
TAKEN = f"taken are config.json, {WEIGHTS}, {INDEX} with its shards, {', '.join(TOKENIZER_FILES)}"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass
class ReceivedFile:
    path: Path
    bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        return str(self.digest.hexdigest())


@dataclass
class ModelForm:
    files: dict[str, ReceivedFile]
    name: str

    def fingerprint(self) -> str:
        """Equal forms have equal ones, whatever their boundaries and their order."""
        lines = sorted(f"{file.sha256}  {name}" for name, file in self.files.items())
        return hashlib.sha256("\n".join([self.name, *lines]).encode()).hexdigest()


@asynccontextmanager
async def received_model(request: Request, settings: Settings) -> AsyncIterator[ModelForm]:
    """The request's form, cut off as soon as its files are larger than the settings allow."""
    refuse_declared_length(request, settings.max_upload_bytes + MAX_ENVELOPE_BYTES)
    incoming = settings.data_dir / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=incoming, prefix="model-") as folder:
        reader = _Reader(_boundary(request), Path(folder), settings.max_upload_bytes)
        async for chunk in request.stream():
            reader.feed(chunk)
            if reader.waiting_bytes >= WRITE_AT_ONCE:
                await run_in_threadpool(reader.flush)
        await run_in_threadpool(reader.flush)
        yield reader.form()


def _boundary(request: Request) -> bytes:
    media, options = parse_options_header(request.headers.get("content-type", ""))
    if media != b"multipart/form-data":
        given = media.decode("latin-1") or "nothing"
        raise Problem("unsupported_media_type", f"send multipart/form-data, not {given}")
    if not options.get(b"boundary"):
        raise Problem("invalid_multipart", "the content type names no boundary")
    return options[b"boundary"]


class _Reader:
    """The parser's callbacks: many parts named `files`, and at most one `name`."""

    def __init__(self, boundary: bytes, folder: Path, limit: int) -> None:
        self.waiting_bytes = 0
        self._folder = folder
        self._limit = limit
        self._waiting: list[tuple[ReceivedFile, bytes]] = []
        self._files: dict[str, ReceivedFile] = {}
        self._name: bytearray | None = None
        self._bytes = 0
        self._part: ReceivedFile | bytearray | None = None
        self._header, self._value = b"", b""
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise Problem("invalid_multipart", str(error)) from None

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Problem("invalid_multipart", str(error)) from None

    def flush(self) -> None:
        """To disk, in the order in which it came."""
        for file, content in self._waiting:
            file.digest.update(content)
            with file.path.open("ab") as handle:
                handle.write(content)
        self._waiting.clear()
        self.waiting_bytes = 0

    def form(self) -> ModelForm:
        if not self._ended:
            raise Problem("invalid_multipart", "the form ends before its last boundary")
        return ModelForm(self._files, _text("name", bytes(self._name or b"")))

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_part,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._part = None

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._part = self._opened(
                _text("name", options.get(b"name", b"")), options.get(b"filename", b"")
            )
        self._header = self._value = b""

    def _opened(self, part: str, file_name: bytes) -> ReceivedFile | bytearray:
        if part == "files":
            return self._open_file(_text("files", file_name))
        if part == "name" and self._name is None:
            self._name = bytearray()
            return self._name
        hint = "the form has `files`, one part for each file, and may have one `name`"
        raise invalid_parameter(part[:64] or "(unnamed)", "is not taken", hint)

    def _open_file(self, name: str) -> ReceivedFile:
        _check_file_name(name)
        if name in self._files:
            raise invalid_parameter("files", f"{name} is there twice")
        if len(self._files) == MAX_FILES:
            raise invalid_parameter("files", f"are more than {MAX_FILES}")
        file = ReceivedFile(self._folder / name)
        file.path.touch()
        self._files[name] = file
        return file

    def _check_part(self) -> None:
        if self._part is None:
            raise Problem("invalid_multipart", "a part has no content disposition")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if isinstance(self._part, bytearray):
            self._part += data[start:end]
            if len(self._part) > MAX_NAME:
                raise invalid_parameter("name", f"is longer than {MAX_NAME} bytes")
        elif self._part is not None:
            self._part.bytes += end - start
            self._bytes += end - start
            if self._bytes > self._limit:
                raise too_large(self._limit)
            self._waiting.append((self._part, data[start:end]))
            self.waiting_bytes += end - start

    def _end(self) -> None:
        self._ended = True


def _check_file_name(name: str) -> None:
    """Only the names that a model's own folder has; so none of them can be a path."""
    if name in {"config.json", WEIGHTS, INDEX, *TOKENIZER_FILES} or SHARD_NAME.fullmatch(name):
        return
    shown = name[:64] or "(unnamed)"
    if name.endswith(PICKLES):
        hint = "save it with safe_serialization: model.save_pretrained(…)"
        raise invalid_parameter("files", f"{shown!r} may be a pickle, which can run code", hint)
    raise invalid_parameter("files", f"{shown!r} is no file of a model", TAKEN)


def _text(name: str, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise invalid_parameter(name, "is not UTF-8") from None
    if "\0" in text:
        raise invalid_parameter(name, "holds a null character")
    return text
