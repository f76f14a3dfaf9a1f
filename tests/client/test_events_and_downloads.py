"""Streams that break, files that break off, and files that are not what they should be."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from rankwise import Client, Refused
from rankwise.downloads import inside
from rankwise.errors import Damaged

from tests.client.scripted import Answer, Asked, serving

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def event(seq: int, type: str = "log") -> bytes:
    data = json.dumps({"seq": seq, "type": type, "data": {}})
    return f"event: {type}\ndata: {data}\nid: {seq}\n\n".encode()


def test_a_broken_stream_goes_on_behind_the_last_event() -> None:
    def script(asked: Asked, before: int) -> Answer:
        stream = {"Content-Type": "text/event-stream"}
        if before == 0:
            whole = event(1) + event(2) + event(3)
            return Answer(200, whole, stream, breaks_after=len(event(1) + event(2)))
        if before == 1:
            return Answer(503, b"{}")
        if before == 2:
            return Answer(200, b": nothing yet\n\n", stream)
        return Answer(200, event(3) + event(4, "job.succeeded") + event(5), stream)

    with serving(script) as server:
        found = [each["seq"] for each in Client(server.url, "k").events("job_1")]
    assert found == [1, 2, 3, 4]
    asked = [each.headers["Last-Event-ID"] for each in server.asked]
    assert asked == ["0", "2", "2", "2"]


def test_events_of_a_job_that_is_not_there_are_refused_at_once() -> None:
    gone = Answer(404, b'{"code": "not_found"}')
    with serving(lambda *_: gone) as server, pytest.raises(Refused):
        list(Client(server.url, "k").events("job_1"))
    assert len(server.asked) == 1


def listing(**changes: Any) -> Answer:
    file = {
        "name": "sub/model.bin",
        "bytes": len(CONTENT),
        "sha256": SHA256,
        "links": {"content": "/content"},
        **changes,
    }
    page = {"data": [file], "has_more": False, "next_cursor": None}
    return Answer(200, json.dumps(page).encode())


def ranged(asked: Asked, content: bytes = CONTENT, **options: Any) -> Answer:
    """As the service answers: the rest behind a range whose If-Range fits."""
    wanted = asked.headers.get("Range")
    if wanted and asked.headers.get("If-Range") == f'"{SHA256}"':
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        return Answer(206, content[first:], **options)
    return Answer(200, content, **options)


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    def script(asked: Asked, before: int) -> Answer:
        if "artifacts" in asked.path:
            return listing()
        return ranged(asked, breaks_after=3000 if before < 3 else None)

    seen: list[int] = []
    with serving(script) as server:
        (path,) = Client(server.url, "k").download("job_1", tmp_path, seen.append)
    assert path == tmp_path / "sub" / "model.bin"
    assert path.read_bytes() == CONTENT
    ranges = [asked.headers.get("Range") for asked in server.asked[1:]]
    assert ranges == [None, "bytes=3000-", "bytes=6000-"]
    assert list(tmp_path.rglob(".*")) == []


def test_what_is_there_and_right_is_left(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "model.bin"
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    with serving(lambda *_: listing()) as server:
        Client(server.url, "k").download("job_1", tmp_path)
    assert len(server.asked) == 1
    target.write_bytes(b"something else")
    with serving(
        lambda asked, _: listing() if "artifacts" in asked.path else ranged(asked)
    ) as server:
        Client(server.url, "k").download("job_1", tmp_path)
    assert target.read_bytes() == CONTENT


def test_a_file_that_is_not_what_its_digest_says_is_not_kept(tmp_path: Path) -> None:
    def script(asked: Asked, before: int) -> Answer:
        return listing() if "artifacts" in asked.path else ranged(asked, CONTENT[::-1])

    with serving(script) as server, pytest.raises(Damaged, match="SHA-256"):
        Client(server.url, "k").download("job_1", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/passwd", "", ".."])
def test_no_file_is_written_outside_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        inside(tmp_path, name)
