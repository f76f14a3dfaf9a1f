"""What is asked again, how long is waited, and what an error says."""

import json
import socket
from pathlib import Path

import pytest
from rankwise import Client, Refused, Unreachable, connection
from rankwise.connection import retry_after

from tests.client.scripted import Answer, Asked, serving

BUSY = Answer(503, b"{}", {"Retry-After": "0"})
JOB = {"id": "job_1", "status": "queued"}
PROBLEM = {
    "title": "The recipe is invalid",
    "detail": "2 fields are wrong",
    "code": "invalid_recipe",
    "errors": [
        {"pointer": "/budget/value", "detail": "must be at most 1", "hint": "0.3 keeps 30 %"},
        {"parameter": "priority", "detail": "must be a number"},
    ],
}


def test_a_post_is_asked_again_under_one_idempotency_key() -> None:
    def script(asked: Asked, before: int) -> Answer:
        return BUSY if before < 2 else Answer(202, json.dumps(JOB).encode())

    with serving(script) as server, Client(server.url, "rw_key") as client:
        assert client.submit({"name": "x"}) == JOB
    keys = {asked.headers["Idempotency-Key"] for asked in server.asked}
    assert (len(server.asked), len(keys)) == (3, 1)
    assert {asked.headers["Authorization"] for asked in server.asked} == {"Bearer rw_key"}


def test_two_submissions_have_two_keys_unless_one_is_given() -> None:
    with serving(lambda asked, _: Answer(202, json.dumps(JOB).encode())) as server:
        client = Client(server.url, "k")
        for key in (None, None, "mine", "mine"):
            client.submit({}, idempotency_key=key)
        client.close()
    keys = [asked.headers["Idempotency-Key"] for asked in server.asked]
    assert keys[2:] == ["mine", "mine"]
    assert len(set(keys)) == 3


def test_an_upload_asked_again_is_the_same_request(tmp_path: Path) -> None:
    """Byte for byte: the service compares what is sent under one key."""
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n")
    with serving(lambda _, before: BUSY if before == 0 else Answer()) as server:
        Client(server.url, "k").upload_dataset(table, "mine")
    first, second = server.asked
    assert first.body == second.body
    assert b"1,2" in first.body
    assert first.headers["Content-Type"] == second.headers["Content-Type"]


def test_a_service_that_stays_busy_is_refused_with_its_own_words() -> None:
    problem = {"title": "Too many jobs are waiting", "code": "queue_full"}
    full = Answer(429, json.dumps(problem).encode(), {"Retry-After": "0"})
    with serving(lambda *_: full) as server, pytest.raises(Refused) as refused:
        Client(server.url, "k").submit({})
    assert (refused.value.code, refused.value.exit_code) == ("queue_full", 2)
    assert len(server.asked) == connection.TRIES


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
def test_what_will_not_pass_is_not_asked_again(status: int) -> None:
    answer = Answer(status, json.dumps(PROBLEM).encode())
    with serving(lambda *_: answer) as server, pytest.raises(Refused) as refused:
        Client(server.url, "k").job("job_1")
    assert len(server.asked) == 1
    text = str(refused.value)
    assert "/budget/value: must be at most 1 (0.3 keeps 30 %)" in text
    assert "priority: must be a number" in text


def test_an_answer_that_is_no_problem_is_told_all_the_same() -> None:
    page = Answer(502, b"<h1>Bad gateway</h1>")
    with serving(lambda *_: page) as server, pytest.raises(Refused) as refused:
        Client(server.url, "k").job("job_1")
    assert "HTTP 502" in str(refused.value)
    assert "Bad gateway" in str(refused.value)


def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(Unreachable, match="does not answer") as unreachable:
        Client(url, "k").job("job_1")
    assert unreachable.value.exit_code == 1


def test_waits_double_and_end_at_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits = [[connection.backoff(attempt) for _ in range(50)] for attempt in range(12)]
    for attempt, some in enumerate(waits):
        longest = min(30.0, 0.5 * 2**attempt)
        assert longest / 2 <= min(some) < max(some) <= longest


def test_a_page_leads_to_the_next() -> None:
    def script(asked: Asked, before: int) -> Answer:
        page = {"data": [{"id": before}], "has_more": before < 2, "next_cursor": f"c{before}"}
        return Answer(200, json.dumps(page).encode())

    with serving(script) as server:
        found = list(Client(server.url, "k").jobs(status=["failed", "cancelled"]))
    assert [each["id"] for each in found] == [0, 1, 2]
    assert [asked.path for asked in server.asked] == [
        "/v1/jobs?status=failed&status=cancelled",
        "/v1/jobs?status=failed&status=cancelled&after=c0",
        "/v1/jobs?status=failed&status=cancelled&after=c1",
    ]


def test_retry_after_in_seconds_or_as_a_date() -> None:
    import httpx

    def asked(value: str) -> float | None:
        return retry_after(httpx.Response(429, headers={"Retry-After": value}))

    assert asked("7") == 7
    assert asked("9999") == 30
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert asked("soon") is None
