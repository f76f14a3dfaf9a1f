"""Signed links: good for one file and a short time, without a key."""

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from core.database.states import JobState
from tests.api.conftest import Api
from tests.factories import make_artifact, make_job

CONTENT = b"weights" * 1000
NAMES = ("model.safetensors", "onnx/modèl #1?.onnx")


@pytest.fixture
def artifact(api_on_each: Api, tmp_path: Path) -> str:
    """The address of a published artifact."""
    api, source = api_on_each, tmp_path / "source"
    source.write_bytes(CONTENT)
    with api.session() as session, session.begin():
        job = make_job(session, state=JobState.SUCCEEDED, epoch=2)
        for name in NAMES:
            values = {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
            row = make_artifact(session, job, name=name, epoch=2, **values)
            api.app.state.storage.put_file(row.storage_key, source)
    return f"/v1/jobs/{job.id}/artifacts"


def link_to(api: Api, artifact: str, name: str = NAMES[0], **body: int) -> str:
    quoted = name.replace("#", "%23").replace("?", "%3F")
    answer = api.post(f"{artifact}/{quoted}/link", body)
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url


@pytest.mark.parametrize("name", NAMES)
def test_whoever_has_a_link_may_read_the_file(api_on_each: Api, artifact: str, name: str) -> None:
    api = api_on_each
    link = link_to(api, artifact, name)
    assert link.startswith("http://testserver/v1/jobs/")
    got, head = api.http.get(link), api.http.head(link)
    assert (got.status_code, got.content) == (200, CONTENT)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert got.headers["content-disposition"].startswith("attachment")
    part = api.http.get(link, headers={"Range": "bytes=0-6"})
    assert (part.status_code, part.content) == (206, b"weights")
    assert api.http.get(link.split("?")[0]).status_code == 401


@pytest.mark.parametrize(("body", "seconds"), [(None, 300), ({}, 300), ({"expires_s": 3600}, 3600)])
def test_a_link_says_until_when(
    api_on_each: Api, artifact: str, body: dict[str, int] | None, seconds: int
) -> None:
    route = f"{artifact}/{NAMES[0]}/link"
    if body is None:
        answer = api_on_each.http.post(route, headers=api_on_each.headers)
    else:
        answer = api_on_each.post(route, body)
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    assert abs((expires_at - datetime.now(UTC)).total_seconds() - seconds) < 5


def test_a_link_is_over_in_time(
    api_on_each: Api, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = api_on_each
    link = link_to(api, artifact, expires_s=60)
    ends = int(parse_qs(urlsplit(link).query)["expires"][0])
    for moment, status in ((ends - 0.5, 200), (ends, 403), (ends + 9, 403)):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert api.http.get(link).status_code == status
    refused = api.http.get(link)
    assert refused.json()["code"] == "link_refused"
    assert refused.headers["content-type"] == "application/problem+json"


def test_an_altered_link_is_refused(api_on_each: Api, artifact: str) -> None:
    api = api_on_each
    link = urlsplit(link_to(api, artifact))
    sent = {name: values[0] for name, values in parse_qs(link.query).items()}
    with api.session() as session, session.begin():
        other = make_job(session, state=JobState.SUCCEEDED)
        make_artifact(session, other, epoch=2)
    later = str(int(sent["expires"]) + 1)
    altered = [
        sent | {"expires": later},
        sent | {"expires": "soon"},
        sent | {"expires": ""},
        sent | {"epoch": "1"},
        sent | {"epoch": "02"},
        sent | {"signature": sent["signature"][:-1] + "x"},
        sent | {"signature": sent["signature"].upper()},
        sent | {"signature": ""},
        sent | {"signature": "é"},
        {"signature": sent["signature"]},
    ]
    addresses = [f"{link.path}?{urlencode(query)}" for query in altered]
    for path in (f"/v1/jobs/{other.id}/artifacts/{NAMES[0]}/content", f"{artifact}/x/content"):
        addresses.append(f"{path}?{link.query}")
    for address in addresses:
        for headers in ({}, api.headers):
            refused = api.http.get(address, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "link_refused"), address
        assert api.http.head(address).status_code == 403
    assert api.http.get(f"{link.path}?{link.query}").status_code == 200


def test_a_link_opens_nothing_else(api_on_each: Api, artifact: str) -> None:
    query = urlsplit(link_to(api_on_each, artifact)).query
    for route in (artifact, artifact.removesuffix("/artifacts"), "/v1/jobs"):
        assert api_on_each.http.get(f"{route}?{query}").status_code == 401


def test_deleting_the_job_ends_its_links(api_on_each: Api, artifact: str) -> None:
    link = link_to(api_on_each, artifact)
    assert api_on_each.delete(artifact.removesuffix("/artifacts")).status_code == 204
    gone = api_on_each.http.get(link)
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_links_are_replayed(api_on_each: Api, artifact: str) -> None:
    api, route = api_on_each, f"{artifact}/{NAMES[0]}/link"
    first = api.post(route, {"expires_s": 100}, **{"Idempotency-Key": "k"})
    again = api.post(route, {"expires_s": 100}, **{"Idempotency-Key": "k"})
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert api.post(route, {"expires_s": 99}, **{"Idempotency-Key": "k"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"expires_s": 0}, "/expires_s"),
        ({"expires_s": 3601}, "/expires_s"),
        ({"expires_s": "60"}, "/expires_s"),
        ({"seconds": 60}, "/seconds"),
    ],
)
def test_other_times_are_refused(
    api_on_each: Api, artifact: str, body: dict[str, object], pointer: str
) -> None:
    refused = api_on_each.post(f"{artifact}/{NAMES[0]}/link", body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer


def test_only_published_files_of_the_caller_have_links(api_on_each: Api, artifact: str) -> None:
    assert api_on_each.post(f"{artifact}/nothing/link", {}).status_code == 404
    stranger = api_on_each.as_project("prj_other")
    assert stranger.post(f"{artifact}/{NAMES[0]}/link", {}).status_code == 404
