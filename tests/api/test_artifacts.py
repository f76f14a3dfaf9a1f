"""Downloads: whole, in part, by digest."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import make_artifact, make_job

CONTENT = bytes(range(256)) * 3000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def route(api: Api, tmp_path: Path) -> str:
    """The address of a stored file in a published artifact."""
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    with api.session() as session, session.begin():
        job = make_job(session)
        for name in ("model.safetensors", "onnx/modèl #1.onnx"):
            values: dict[str, Any] = {"name": name, "bytes": len(CONTENT), "sha256": SHA256}
            row = make_artifact(session, job, **values)
            api.app.state.storage.put_file(row.storage_key, source)
    return f"/v1/jobs/{job.id}/artifacts/model.safetensors/content"


def test_files_are_listed_with_links_that_work(api: Api, route: str) -> None:
    listing = api.get(route.split("/model.")[0]).json()["data"]
    assert [file["name"] for file in listing] == ["model.safetensors", "onnx/modèl #1.onnx"]
    for file in listing:
        assert (file["bytes"], file["sha256"]) == (len(CONTENT), SHA256)
        assert api.get(file["links"]["content"]).content == CONTENT


def test_a_download_carries_its_digest_and_is_never_shown_inline(api: Api, route: str) -> None:
    answer = api.get(route)
    assert answer.content == CONTENT
    assert answer.headers["etag"] == f'"{SHA256}"'
    digest = base64.b64encode(bytes.fromhex(SHA256)).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    disposition = "attachment; filename*=UTF-8''model.safetensors"
    assert answer.headers["content-disposition"] == disposition
    assert answer.headers["accept-ranges"] == "bytes"


SIZE = len(CONTENT)
RANGES: list[tuple[str, int, int]] = [
    ("bytes=0-0", 0, 1),
    ("bytes=10-19", 10, 20),
    ("bytes=767990-", 767990, SIZE),
    ("bytes=-10", SIZE - 10, SIZE),
    (f"bytes=0-{SIZE + 5}", 0, SIZE),
    (f"bytes=-{SIZE + 5}", 0, SIZE),
    ("bytes=1000-600000", 1000, 600_001),
    ("Bytes=0-1", 0, 2),
]


@pytest.mark.parametrize(("header", "start", "stop"), RANGES)
def test_a_range_is_honoured(api: Api, route: str, header: str, start: int, stop: int) -> None:
    answer = api.get(route, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "bytes=5-2", "bytes=-", "lines=1-2", "x"])
def test_several_ranges_or_nonsense_get_the_whole_file(api: Api, route: str, header: str) -> None:
    answer = api.get(route, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", f"bytes={SIZE + 9}-{SIZE + 10}", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(api: Api, route: str, header: str) -> None:
    refused = api.get(route, headers={"Range": header})
    assert (refused.status_code, refused.json()["code"]) == (416, "invalid_range")
    assert refused.headers["content-range"] == f"bytes */{SIZE}"


def test_if_range_and_if_none_match_compare_the_digest(api: Api, route: str) -> None:
    part = {"Range": "bytes=0-9"}
    same = api.get(route, headers=part | {"If-Range": f'"{SHA256}"'})
    assert same.status_code == 206
    for validator in ('"abc"', f'W/"{SHA256}"', "Mon, 04 May 2026 09:36:11 GMT"):
        other = api.get(route, headers=part | {"If-Range": validator})
        assert (other.status_code, other.content) == (200, CONTENT), validator
    assert api.get(route, headers={"If-None-Match": "*"}).status_code == 304
    known = api.get(route, headers={"If-None-Match": f'"x", "{SHA256}"'})
    assert (known.status_code, known.content) == (304, b"")
    assert api.get(route, headers={"If-None-Match": '"x"'}).status_code == 200


def test_head_tells_without_bytes(api: Api, route: str) -> None:
    answer = api.http.head(route, headers=api.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["etag"] == f'"{SHA256}"'
    part = api.http.head(route, headers=api.headers | {"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (200, str(SIZE))
    known = api.http.head(route, headers=api.headers | {"If-None-Match": f'W/"{SHA256}"'})
    assert known.status_code == 304


@pytest.mark.parametrize("name", ["nothing", "../secrets", "%2e%2e/model.safetensors", "onnx"])
def test_other_names_are_not_found(api: Api, route: str, name: str) -> None:
    assert api.get(route.replace("model.safetensors", name)).status_code == 404


def test_a_file_that_is_no_longer_stored_is_gone(api: Api, route: str) -> None:
    for file in api.stored_files():
        Path(file).unlink()
    refused = api.get(route)
    assert (refused.status_code, refused.json()["code"]) == (410, "artifact_gone")
    assert api.http.head(route, headers=api.headers).status_code == 410
