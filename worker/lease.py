"""One attempt's hold on its job: renewed in time, and given up in time when it cannot be."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from core.database.sessions import Sessions, read_only
from core.database.states import Requested
from core.jobs import claims
from core.jobs.claims import Claim
from core.settings import Settings

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

FENCE_SHARE = 0.75
"""Without a renewal for this share of the lease, an attempt ends itself."""
LOOK_S = 1.0
"""Requests are looked for at least this often."""
TRY_AGAIN_S = 0.2


class LeaseLost(Exception):
    """The database was away for so long that another worker may soon have the job."""


class DatabaseAway(Exception):
    """It did not answer this time; what was to be written is not."""


class Lease:
    """Every look at the database that an attempt takes goes through here."""

    def __init__(
        self, sessions: Sessions, claim: Claim, settings: Settings, *, claimed_at: float
    ) -> None:
        self._sessions = sessions
        self._reads = read_only(sessions)
        self._claim = claim
        self._settings = settings
        self._renewed_at = claimed_at
        self._renew_at = claimed_at + settings.heartbeat_s
        self._look_at = claimed_at

    @property
    def fence_at(self) -> float:
        """By `time.monotonic`: from here on the attempt must not touch anything."""
        return self._renewed_at + FENCE_SHARE * self._settings.lease_s

    @property
    def wake_at(self) -> float:
        """When `keep` has something to do again."""
        return min(self._renew_at, self._look_at, self.fence_at)

    def keep(self) -> Requested | None:
        """Renew or look, if it is time to, and tell what was asked of the job meanwhile.

        LeaseLost when too late, Fenced when the job is another's. A database that is away is
        asked again soon.
        """
        self._check()
        now = time.monotonic()
        try:
            if now >= self._renew_at:
                return self._renew(now)
            if now >= self._look_at:
                return self._look(now)
        except DatabaseAway:
            self._renew_at = self._look_at = time.monotonic() + TRY_AGAIN_S
            self._check()
        return None

    def write(self, action: Callable[[Session], Result]) -> Result:
        """One transaction, once. DatabaseAway when it could not be committed."""
        self._check()
        return _answered(self._sessions, action)

    def insist(self, action: Callable[[Session], Result]) -> Result:
        """One transaction, tried again until it is committed or the lease is too old."""
        while True:
            try:
                return self.write(action)
            except DatabaseAway:
                time.sleep(TRY_AGAIN_S)

    def _check(self) -> None:
        if time.monotonic() >= self.fence_at:
            raise LeaseLost(f"attempt {self._claim.epoch} of {self._claim.job_id}")

    def _renew(self, now: float) -> Requested | None:
        lease_s = self._settings.lease_s
        requested = _answered(self._sessions, lambda s: claims.renew(s, self._claim, lease_s))
        self._renewed_at = now
        self._renew_at = now + self._settings.heartbeat_s
        return requested

    def _look(self, now: float) -> Requested | None:
        requested = _answered(self._reads, lambda session: claims.look(session, self._claim))
        self._look_at = now + LOOK_S
        return requested


def _answered(sessions: Sessions, action: Callable[[Session], Result]) -> Result:
    try:
        with sessions.begin() as session:
            return action(session)
    except (OperationalError, InterfaceError) as error:
        log.warning("database.away", error=str(error.orig))
        raise DatabaseAway from error
