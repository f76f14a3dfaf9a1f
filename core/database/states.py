"""A job's states and the one table of moves between them."""

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Requested(StrEnum):
    """What was asked of a running job; looked at between its events."""

    PAUSE = "pause"
    CANCEL = "cancel"


FINISHED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.PAUSED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
}


def shown_status(state: JobState, requested: Requested | None) -> str:
    """What callers see: a running job that was asked to stop is `pausing` or `cancelling`."""
    if state == JobState.RUNNING and requested is not None:
        return {Requested.PAUSE: "pausing", Requested.CANCEL: "cancelling"}[requested]
    return state.value
