"""Limits at the door: waiting jobs per project, requests per second and key."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.rate_limits import KEYS_KEPT, RateLimiter
from core.database.tables import IdempotencyRecord, Job
from core.settings import Settings
from tests.api.conftest import Api, running


@pytest.fixture
def limited(
    database_url: str, valkey: str, api_settings: Settings, model_root: Path
) -> Iterator[Api]:
    """At most three waiting jobs."""
    settings = api_settings.model_copy(update={"max_queued_jobs": 3})
    yield from running(settings, model_root)


def test_a_full_queue_takes_no_more_and_says_when_to_ask_again(limited: Api) -> None:
    recipe = limited.recipe()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: limited.post("/v1/jobs", recipe), range(12)))
    refused = [answer for answer in answers if answer.status_code != 202]
    assert len(refused) == 9
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) > 0
    assert limited.count(Job) == 3


def test_a_refused_submission_leaves_its_key_free(limited: Api) -> None:
    recipe, key = limited.recipe(), {"Idempotency-Key": "k"}
    jobs = [limited.post("/v1/jobs", recipe).json()["links"]["self"] for _ in range(3)]
    assert limited.post("/v1/jobs", recipe, **key).status_code == 429
    assert limited.count(IdempotencyRecord) == 0
    limited.post(f"{jobs[0]}/cancel")
    assert limited.post("/v1/jobs", recipe, **key).status_code == 202
    refused = limited.post(f"{jobs[0]}/retry")
    assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
    assert limited.get(jobs[0]).json()["status"] == "cancelled"


@pytest.fixture
def slow(sqlite_url: str, valkey: str, api_settings: Settings, model_root: Path) -> Iterator[Api]:
    """Five requests at once, then one in a hundred seconds: no test waits for the next one."""
    for api in running(api_settings, model_root):
        api.app.state.rate_limiter = RateLimiter(0.01)
        api.app.state.rate_limiter.size = 5.0
        yield api


def test_a_key_that_asks_too_often_is_told_to_wait(slow: Api) -> None:
    statuses = [slow.get("/v1/jobs").status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    refused = slow.get("/v1/jobs")
    assert refused.json()["code"] == "rate_limited"
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    other = slow.http.get("/v1/jobs", headers={"Authorization": f"Bearer {slow.key(['read'])}"})
    assert other.status_code == 200
    assert slow.http.get("/v1/jobs").status_code == 401
    assert slow.http.get("/healthz").status_code == 200


def test_the_settings_limit_is_the_one_in_force(
    sqlite_url: str, valkey: str, api_settings: Settings, model_root: Path
) -> None:
    settings = api_settings.model_copy(update={"rate_limit_per_s": 0.001})
    for api in running(settings, model_root):
        assert [api.get("/v1/jobs").status_code for _ in range(2)] == [200, 429]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_holds_a_seconds_worth_and_fills_at_its_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(4, clock)
    assert [limiter.take("a") for _ in range(5)] == [0, 0, 0, 0, 0.25]
    clock.now = 0.25
    assert [limiter.take("a"), limiter.take("a")] == [0, 0.25]
    clock.now = 100
    assert [limiter.take("a") for _ in range(5)][3:] == [0, 0.25]


def test_a_rate_below_one_still_lets_single_requests_in() -> None:
    clock = Clock()
    limiter = RateLimiter(0.5, clock)
    assert [limiter.take("a"), limiter.take("a"), limiter.take("b")] == [0, 2, 0]
    clock.now = 2
    assert limiter.take("a") == 0


def test_without_a_rate_nothing_is_kept() -> None:
    limiter = RateLimiter(0)
    assert [limiter.take("a") for _ in range(1000)] == [0] * 1000
    assert limiter._buckets == {}


def test_keys_that_rest_are_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock)
    for number in range(KEYS_KEPT):
        limiter.take(f"key_{number}")
    clock.now = 10
    limiter.take("one more")
    assert len(limiter._buckets) == 1


def test_many_threads_share_a_bucket_exactly() -> None:
    limiter = RateLimiter(20, Clock())
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: limiter.take("a"), range(400)))
    assert taken.count(0) == 20
