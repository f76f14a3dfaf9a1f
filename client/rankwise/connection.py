"""HTTP with patience: what may be repeated is repeated, with backoff.

Reads may be repeated, and so may a POST with an Idempotency-Key, which every POST here has: the
service does nothing twice.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx

from rankwise.errors import Json, Refused, Unreachable

TRIES = 6
LONGEST_WAIT_S = 30.0
PASSING = frozenset({429, 502, 503, 504})
"""A later try may be answered."""


class Connection:
    def __init__(self, url: str, key: str, timeout: float = 30.0):
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "rankwise-client"}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        found: Json = self.request("GET", path, params=params).json()
        return found

    def post(self, path: str, **content: Any) -> Json:
        key = content.pop("idempotency_key", None) or uuid4().hex
        sent = {"Idempotency-Key": key, **content.pop("headers", {})}
        found: Json = self.request("POST", path, headers=sent, **content).json()
        return found

    def put(self, path: str, **content: Any) -> Json:
        found: Json = self.request("PUT", path, **content).json()
        return found

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """Every item of a list, page by page."""
        asked = dict(params or {})
        while True:
            page = self.get(path, asked)
            yield from page["data"]
            if not page["has_more"]:
                return
            asked["after"] = page["next_cursor"]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """
        Raises:
            Refused: answered with a problem.
            Unreachable: not answered in all tries.
        """
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error) from error
                time.sleep(backoff(attempt))
                continue
            if response.status_code in PASSING and not last:
                time.sleep(retry_after(response) or backoff(attempt))
                continue
            return accepted(response)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """An answer read as it comes; one try."""
        patience = httpx.Timeout(30.0, read=60.0)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=patience) as response:
                if response.is_error:
                    response.read()
                yield accepted(response)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.url} does not answer: {error or type(error).__name__}")


def accepted(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise Refused(response.status_code, problem_of(response))
    return response


def problem_of(response: httpx.Response) -> Json:
    try:
        content = response.json()
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    return {"title": f"HTTP {response.status_code}", "detail": response.text[:200]}


def backoff(attempt: int) -> float:
    """0.25 to 0.5 s, then twice that, and so on."""
    longest: float = 0.5 * 2**attempt
    return min(LONGEST_WAIT_S, longest) * random.uniform(0.5, 1.0)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the service asks to wait; None where it says nothing of use."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return min(LONGEST_WAIT_S, float(asked))
    try:
        seconds = parsedate_to_datetime(asked).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
    return min(LONGEST_WAIT_S, max(0.0, seconds))
