"""A token bucket for every API key, kept in this process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

KEYS_KEPT = 10_000
"""Beyond this many keys, those whose bucket is full again are forgotten."""


@dataclass
class Bucket:
    tokens: float
    filled_at: float


class RateLimiter:
    """A bucket holds one second's worth of requests, at least one, and fills at `per_s`."""

    def __init__(self, per_s: float, clock: Callable[[], float] = monotonic):
        self.per_s = per_s
        """0: any number of requests."""
        self.size = max(1.0, per_s)
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def take(self, key_id: str) -> float:
        """0 when the request may go on, else the seconds until one may."""
        if self.per_s == 0:
            return 0.0
        with self._lock:
            bucket = self._filled(key_id, self._clock())
            if bucket.tokens < 1:
                return (1 - bucket.tokens) / self.per_s
            bucket.tokens -= 1
            return 0.0

    def _filled(self, key_id: str, now: float) -> Bucket:
        if len(self._buckets) >= KEYS_KEPT:
            self._forget_full(now)
        bucket = self._buckets.setdefault(key_id, Bucket(self.size, now))
        bucket.tokens = self._tokens(bucket, now)
        bucket.filled_at = now
        return bucket

    def _tokens(self, bucket: Bucket, now: float) -> float:
        return min(self.size, bucket.tokens + (now - bucket.filled_at) * self.per_s)

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            key_id: bucket
            for key_id, bucket in self._buckets.items()
            if self._tokens(bucket, now) < self.size
        }
