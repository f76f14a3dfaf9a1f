"""The ways the bookkeeping of jobs can refuse.

JobError
├── NotFound               the project has no such job
├── IllegalTransition      the job's state does not allow this move
├── FieldFixed             the job's state does not let this field change any more
├── InUse                  an unfinished job needs the one that is to go
├── QueueFull              the project has as many waiting jobs as it may have
├── SweepUnfinished        a job of the sweep that is to go is not over
└── Fenced                 another claim owns the job, or it is over: write nothing, walk away
"""

from collections.abc import Sequence

from core.database.states import JobState


class JobError(Exception):
    """A refusal that changed nothing."""


class NotFound(JobError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class IllegalTransition(JobError):
    def __init__(self, job_id: str, status: str, move: str, allowed: Sequence[str]) -> None:
        instead = " or ".join(allowed) if allowed else "nothing"
        super().__init__(f"a job that is {status} cannot be asked to {move}; it allows {instead}")
        self.job_id = job_id
        self.status = status
        """As callers see it: `pausing`, `cancelling` or the state."""
        self.move = move
        self.allowed = tuple(allowed)


class FieldFixed(JobError):
    def __init__(self, job_id: str, state: JobState, field: str) -> None:
        super().__init__(f"the {field} of a job that is {state} can no longer change")
        self.job_id = job_id
        self.state = state
        self.field = field


class InUse(JobError):
    def __init__(self, job_id: str, reader: str) -> None:
        super().__init__(f"{reader} compresses the result of {job_id} and has not finished")
        self.job_id = job_id
        self.reader = reader


class QueueFull(JobError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the project may have {limit} waiting jobs, and has or would have more")
        self.limit = limit


class SweepUnfinished(JobError):
    def __init__(self, sweep_id: str, unfinished: int) -> None:
        super().__init__(f"{unfinished} jobs of {sweep_id} are not over")
        self.sweep_id = sweep_id
        self.unfinished = unfinished


class Fenced(JobError):
    def __init__(self, job_id: str, epoch: int) -> None:
        super().__init__(f"attempt {epoch} of {job_id} no longer holds the job")
        self.job_id = job_id
        self.epoch = epoch
