import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.database.clock import database_now
from core.database.sessions import Sessions
from core.database.states import JobState, Requested
from core.database.tables import Job, JobAttempt, JobEvent, now
from core.jobs import finishing
from core.jobs.claims import Claim, ClaimedJob, claim_next, hold, look, renew
from core.jobs.errors import Fenced
from core.jobs.finishing import StoredArtifact, StoredFile
from tests.factories import make_job

LEASE_S = 60.0
ARTIFACT = StoredArtifact(
    prefix="jobs/x/e1",
    sha256="a" * 64,
    files=(StoredFile(name="model", key="jobs/x/e1/model", bytes=1, sha256="b" * 64),),
)


def claim(sessions: Sessions, queue: str = "default") -> ClaimedJob | None:
    with sessions.begin() as session:
        return claim_next(session, queue, "host:1", LEASE_S)


def test_the_best_row_goes_first(sessions: Sessions) -> None:
    with sessions.begin() as session:
        old = make_job(session, created_at=now() - timedelta(hours=1))
        urgent = make_job(session, priority=5)
        new = make_job(session)
        make_job(session, queue="gpu", priority=9)
        make_job(session, not_before=now() + timedelta(hours=1), priority=9)
        make_job(session, state=JobState.PAUSED, priority=9)
    claimed = [claim(sessions) for _ in range(4)]
    assert [job.claim.job_id for job in claimed if job] == [urgent.id, old.id, new.id]
    assert claimed[3] is None


def test_a_claim_takes_a_lease_an_epoch_and_an_attempt(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = make_job(session, requested=None)
    claimed = claim(sessions)
    assert claimed is not None
    assert claimed.claim == Claim(job.id, 1)
    assert (claimed.recipe, claimed.inputs) == (job.recipe, job.inputs)
    with sessions() as session:
        row = session.get_one(Job, job.id)
        attempt = session.get_one(JobAttempt, (job.id, 1))
        event = session.get_one(JobEvent, (job.id, 1))
    assert (row.state, row.owner, row.attempts, row.last_seq) == (JobState.RUNNING, "host:1", 1, 1)
    assert row.lease_until is not None
    assert timedelta(seconds=50) < row.lease_until - now() < timedelta(seconds=70)
    assert (attempt.owner, attempt.outcome) == ("host:1", None)
    assert event.type == "job.running"


def test_many_claimants_share_the_rows_without_doubles(sessions: Sessions) -> None:
    with sessions.begin() as session:
        ids = {make_job(session).id for _ in range(40)}
    claimed: list[str] = []
    barrier = threading.Barrier(8)

    def claim_all() -> None:
        barrier.wait()
        while (job := claim(sessions)) is not None:
            claimed.append(job.claim.job_id)

    threads = [threading.Thread(target=claim_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 40
    assert set(claimed) == ids
    with sessions() as session:
        assert set(session.scalars(select(Job.epoch))) == {1}


WRITES: dict[str, Callable[..., object]] = {
    "hold": hold,
    "look": look,
    "renew": lambda session, claim: renew(session, claim, LEASE_S),
    "succeed": lambda session, claim: finishing.succeed(session, claim, ARTIFACT, {}),
    "fail": lambda session, claim: finishing.fail(session, claim, {"code": "x", "message": "y"}),
    "stand_down": finishing.stand_down,
    "crash": lambda session, claim: finishing.crash(session, claim, "x"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "lost",
    [
        {"epoch": 2},
        {"state": JobState.QUEUED},
        {"state": JobState.SUCCEEDED},
        {"state": JobState.CANCELLED},
    ],
    ids=str,
)
def test_a_stale_attempt_changes_nothing(
    sessions: Sessions, write: str, lost: dict[str, object]
) -> None:
    with sessions.begin() as session:
        make_job(session)
    stale = claim(sessions)
    assert stale is not None
    with sessions.begin() as session:
        session.execute(update(Job).values(**lost))
    before = everything(sessions)
    with pytest.raises(Fenced), sessions.begin() as session:
        WRITES[write](session, stale.claim)
    assert everything(sessions) == before


def everything(sessions: Sessions) -> list[object]:
    with sessions() as session:
        return [
            tuple(row)
            for table in (Job, JobAttempt, JobEvent)
            for row in session.execute(select(*table.__table__.columns))
        ]


def test_a_renewal_tells_what_was_asked(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session)
    claimed = claim(sessions)
    assert claimed is not None
    with sessions.begin() as session:
        session.execute(update(Job).values(lease_until=database_now(-100)))
        assert renew(session, claimed.claim, LEASE_S) is None
        session.execute(update(Job).values(requested=Requested.PAUSE))
        assert renew(session, claimed.claim, LEASE_S) is Requested.PAUSE
        assert look(session, claimed.claim) is Requested.PAUSE
        assert session.scalars(select(Job.id).where(Job.lease_until > database_now(50))).all()
