"""Server-sent events from a real server: live, resumed, ended."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy.orm import Session

from api.app import create_app
from api.jobs import stream
from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import Job
from core.jobs import requests
from core.settings import Settings
from tests.api.conftest import Api
from tests.factories import DEFAULT_PROJECT, make_event, make_job

SSE = {"Accept": "text/event-stream"}


def frames(text: str) -> list[dict[str, str]]:
    """Each frame's fields; comments are left out."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            found.append(dict(line.split(": ", 1) for line in lines))
    return found


def finished_job(session: Session, events: int = 5) -> str:
    job = make_job(session, state=JobState.SUCCEEDED)
    for _ in range(events):
        make_event(session, job)
    return job.id


def test_a_finished_jobs_stream_is_its_history(api_on_each: Api) -> None:
    api = api_on_each
    with api.session() as session, session.begin():
        id = finished_job(session)
    answer = api.get(f"/v1/jobs/{id}/events", headers=SSE)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    sent = frames(answer.text)
    assert [frame["id"] for frame in sent] == ["1", "2", "3", "4", "5"]
    listed = api.get(f"/v1/jobs/{id}/events").json()["data"]
    assert [json.loads(frame["data"]) for frame in sent] == listed
    assert {frame["event"] for frame in sent} == {"log"}


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"Last-Event-ID": "3"}, "", ["4", "5"]),
        ({}, "?after=3", ["4", "5"]),
        ({"Last-Event-ID": "4"}, "?after=1", ["5"]),
        ({"Last-Event-ID": "5"}, "", []),
        ({"Last-Event-ID": "99"}, "", []),
    ],
)
def test_a_stream_resumes(
    api: Api, headers: dict[str, str], query: str, expected: list[str]
) -> None:
    with api.session() as session, session.begin():
        id = finished_job(session)
    answer = api.get(f"/v1/jobs/{id}/events{query}", headers=SSE | headers)
    assert [frame["id"] for frame in frames(answer.text)] == expected


def test_a_long_history_comes_whole(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "EVENTS_AT_ONCE", 7)
    monkeypatch.setattr(stream, "POLL_S", 0.01)
    with api.session() as session, session.begin():
        id = finished_job(session, events=40)
    sent = frames(api.get(f"/v1/jobs/{id}/events", headers=SSE).text)
    assert [int(frame["id"]) for frame in sent] == list(range(1, 41))


def test_a_malformed_last_event_id_is_refused(api: Api) -> None:
    with api.session() as session, session.begin():
        id = finished_job(session)
    refused = api.get(f"/v1/jobs/{id}/events", headers=SSE | {"Last-Event-ID": "x"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == "Last-Event-ID"


def test_another_projects_stream_does_not_exist(api: Api) -> None:
    with api.session() as session, session.begin():
        id = finished_job(session)
    stranger = api.as_project("prj_other")
    assert stranger.get(f"/v1/jobs/{id}/events", headers=SSE).status_code == 404


def test_streams_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_WATCHERS", 0)
    with api.session() as session, session.begin():
        id = finished_job(session)
    refused = api.get(f"/v1/jobs/{id}/events", headers=SSE)
    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_watchers")
    assert refused.headers["retry-after"] == "30"


class Server:
    """The API on a real socket, in a thread of this process."""

    def __init__(self, settings: Settings):
        self.app = create_app(settings)
        config = uvicorn.Config(self.app, port=0, log_level="error", timeout_graceful_shutdown=2)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.token = settings.bootstrap_key

    def start(self) -> None:
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()

    @property
    def sessions(self) -> Sessions:
        sessions: Sessions = self.app.state.sessions
        return sessions

    def client(self) -> httpx.Client:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20)

    def follow(self, id: str, **headers: str) -> list[str]:
        """The ids of all events until the server ends the stream."""
        with self.client() as client:
            return [f["id"] for f in frames(client.get(self.route(id), headers=SSE | headers).text)]

    def route(self, id: str) -> str:
        return f"/v1/jobs/{id}/events"


@pytest.fixture
def server(sqlite_url: str, valkey: str, api_settings: Settings) -> Iterator[Server]:
    server = Server(api_settings)
    server.start()
    yield server
    server.stop()


def add_event(server: Server, id: str) -> None:
    with server.sessions.begin() as session:
        make_event(session, session.get_one(Job, id))


def running_job(server: Server) -> str:
    with server.sessions.begin() as session:
        return make_job(session, state=JobState.QUEUED).id


def wait_for_watchers(server: Server, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.app.state.poller._watchers) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_watchers_see_events_as_they_happen_until_the_last(server: Server) -> None:
    id = running_job(server)
    with ThreadPoolExecutor(4) as pool:
        watchers = [pool.submit(server.follow, id) for _ in range(3)]
        late = pool.submit(server.follow, id, **{"Last-Event-ID": "2"})
        wait_for_watchers(server, 4)
        for _ in range(3):
            add_event(server, id)
            time.sleep(0.05)
        with server.sessions.begin() as session:
            requests.cancel(session, DEFAULT_PROJECT, id)
        for watcher in watchers:
            assert watcher.result(20) == ["1", "2", "3", "4"]
        assert late.result(20) == ["3", "4"]
    wait_for_watchers(server, 0)


def test_a_silent_stream_sends_comments(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    id = running_job(server)
    with server.client() as client, client.stream("GET", server.route(id), headers=SSE) as answer:
        lines: Iterator[str] = answer.iter_lines()
        assert next(lines) == ": ping"
    wait_for_watchers(server, 0)


def test_an_open_stream_holds_no_connection_to_the_database(server: Server) -> None:
    ids = [running_job(server) for _ in range(20)]
    with server.client() as client, ExitStack() as streams:
        for id in ids:
            streams.enter_context(client.stream("GET", server.route(id), headers=SSE))
        wait_for_watchers(server, 20)
        assert server.app.state.engine.pool.checkedout() <= 1
        assert client.get("/v1/jobs").status_code == 200
    wait_for_watchers(server, 0)


def test_the_server_stops_with_streams_open(server: Server) -> None:
    id = running_job(server)
    with server.client() as client, client.stream("GET", server.route(id), headers=SSE):
        wait_for_watchers(server, 1)
        server.stop()


def test_a_failed_look_does_not_end_the_stream(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = running_job(server)
    failures: list[int] = []
    newest = stream._newest

    def failing(*arguments: Any) -> Any:
        if len(failures) < 2:
            failures.append(1)
            raise OSError("the database is away")
        return newest(*arguments)

    monkeypatch.setattr(stream, "_newest", failing)
    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(server.follow, id)
        with server.sessions.begin() as session:
            requests.cancel(session, DEFAULT_PROJECT, id)
        assert watcher.result(20) == ["1"]
    assert len(failures) == 2
