"""Attempts and log lines of a job, in pages and as text; on both databases."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.database.states import JobState
from core.database.tables import Job
from tests.api.conftest import Api
from tests.factories import make_attempt, make_event, make_job

MOMENT = datetime(2026, 5, 4, 9, 36, 2, 250_000, tzinfo=UTC)


def pages(api: Api, route: str) -> list[list[dict[str, Any]]]:
    """Every page, one after the other."""
    found, after = [], ""
    while True:
        page = api.get(f"{route}{after}").json()
        found.append(page["data"])
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        after = f"&after={page['next_cursor']}"


def test_attempts_come_in_pages_by_epoch(api_on_each: Api) -> None:
    api = api_on_each
    with api.session() as session, session.begin():
        job = make_job(session)
        for epoch in (3, 1, 2):
            make_attempt(session, job, epoch=epoch, outcome="crashed", detail=f"d{epoch}")
        make_attempt(session, make_job(session), epoch=9)
    found = pages(api, f"/v1/jobs/{job.id}/attempts?limit=2")
    assert [[attempt["epoch"] for attempt in page] for page in found] == [[1, 2], [3]]
    assert found[0][0]["detail"] == "d1"
    assert set(found[0][0]) == {
        *("object", "epoch", "owner", "started_at", "ended_at", "outcome", "detail")
    }


@pytest.fixture
def logged(api_on_each: Api) -> str:
    """The address of a failed job's logs: info, progress, warning of no stage, info, failure."""
    with api_on_each.session() as session, session.begin():
        job = make_job(session, state=JobState.FAILED, epoch=1)
        log = {"level": "info", "message": "rows are read", "stage": "resolve"}
        warning = {"level": "warning", "message": "two\nlines\tand a tab"}
        failure = {"code": "data_refused", "message": "no rows", "stage": "adapt", "hint": None}
        for kind, data in (
            ("log", log),
            ("stage.progress", {"stage": "adapt", "done": 1, "total": 2}),
            ("log", warning),
            ("log", log | {"stage": "adapt"}),
            ("job.failed", failure),
        ):
            make_event(session, job, type=kind, data=data, created_at=MOMENT)
    return f"/v1/jobs/{job.id}/logs"


def test_lines_say_level_stage_message_and_time(api_on_each: Api, logged: str) -> None:
    lines = api_on_each.get(logged).json()["data"]
    assert [line["seq"] for line in lines] == [1, 3, 4, 5]
    assert lines[0] == {
        "object": "log_line",
        "seq": 1,
        "epoch": 1,
        "level": "info",
        "stage": "resolve",
        "message": "rows are read",
        "created_at": "2026-05-04T09:36:02.250000Z",
    }
    assert (lines[1]["level"], lines[1]["stage"]) == ("warning", None)
    assert (lines[3]["level"], lines[3]["stage"], lines[3]["message"]) == (
        *("error", "adapt", "no rows"),
    )


def test_a_level_leaves_out_those_below_it(api_on_each: Api, logged: str) -> None:
    def seqs(query: str) -> list[int]:
        return [line["seq"] for line in api_on_each.get(f"{logged}?{query}").json()["data"]]

    assert seqs("level=info") == [1, 3, 4, 5]
    assert seqs("level=warning") == [3, 5]
    assert seqs("level=error") == [5]
    assert seqs("level=warning&after=3") == [5]
    assert api_on_each.get(f"{logged}?level=debug").status_code == 422


def test_lines_come_in_pages(api_on_each: Api, logged: str) -> None:
    found = pages(api_on_each, f"{logged}?limit=3")
    assert [[line["seq"] for line in page] for page in found] == [[1, 3, 4], [5]]


def test_lines_as_text(api_on_each: Api, logged: str) -> None:
    text = {"Accept": "text/plain"}
    whole = api_on_each.get(logged, headers=text)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.text.splitlines() == [
        "2026-05-04T09:36:02.250Z INFO    resolve: rows are read",
        "2026-05-04T09:36:02.250Z WARNING two lines and a tab",
        "2026-05-04T09:36:02.250Z INFO    adapt: rows are read",
        "2026-05-04T09:36:02.250Z ERROR   adapt: no rows",
    ]
    assert "link" not in whole.headers
    first = api_on_each.get(f"{logged}?limit=2&level=info", headers=text)
    following = f'<{logged}?limit=2&level=info&after=3>; rel="next"'
    assert first.headers["link"] == following
    rest = api_on_each.get(following[1:].split(">")[0], headers=text)
    assert first.text + rest.text == whole.text


def test_a_job_without_lines_has_none(api: Api) -> None:
    with api.session() as session, session.begin():
        job = make_job(session)
    own = f"/v1/jobs/{job.id}/logs"
    assert api.get(own).json()["data"] == []
    assert api.get(own, headers={"Accept": "text/plain"}).text == ""
    assert api.count(Job) == 1
