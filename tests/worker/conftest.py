"""Jobs whose runner follows a script, and a workplace to supervise them in."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from core.database.sessions import Sessions
from core.database.tables import Job
from core.jobs.claims import claim_next
from core.jobs.submission import submit
from core.settings import Settings
from core.storage.local import LocalStorage
from tests.factories import DEFAULT_PROJECT, make_inputs, make_recipe
from worker.supervisor import Supervisor, Workplace

SCRIPTED = (sys.executable, str(Path(__file__).with_name("scripted_runner.py")))

Submit = Callable[..., Job]


@pytest.fixture
def submit_script(sessions: Sessions) -> Submit:
    """Queue a job whose runner will take the steps of `script`."""

    def submit_it(script: str, **limits: Any) -> Job:
        with sessions.begin() as session:
            return submit(
                session,
                project_id=DEFAULT_PROJECT,
                recipe=make_recipe(name=script, limits=limits or {"max_runtime_s": 60}),
                inputs=make_inputs(),
            )

    return submit_it


@pytest.fixture
def shutdown() -> Iterator[tuple[int, Callable[[], None]]]:
    """The reading end of a shutdown pipe, and what makes it readable."""
    reading, writing = os.pipe()
    yield reading, lambda: (os.write(writing, b"."), None)[1]
    os.close(reading)
    os.close(writing)


@pytest.fixture
def place(
    settings: Settings,
    sessions: Sessions,
    storage: LocalStorage,
    shutdown: tuple[int, Callable[[], None]],
) -> Workplace:
    return Workplace(
        settings=settings,
        sessions=sessions,
        storage=storage,
        shutdown_fd=shutdown[0],
        command=SCRIPTED,
        owner="test:1",
    )


@pytest.fixture
def supervise(place: Workplace) -> Callable[[], Any]:
    """Claim the best job and supervise this attempt to its end."""

    def supervise_it() -> Any:
        claimed_at = monotonic()
        with place.sessions.begin() as session:
            job = claim_next(session, "default", place.owner, place.settings.lease_s)
        assert job is not None
        return Supervisor(place, job, claimed_at=claimed_at).run()

    return supervise_it
