"""The ways the bookkeeping of jobs can refuse.

JobError
├── NotFound               the project has no such job
├── IllegalTransition      the job's state does not allow this move
└── Fenced                 another claim owns the job, or it is over: write nothing, walk away
"""

from core.database.states import JobState


class JobError(Exception):
    """A refusal that changed nothing."""


class NotFound(JobError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class IllegalTransition(JobError):
    def __init__(self, job_id: str, state: JobState, move: str) -> None:
        super().__init__(f"a job that is {state} cannot be asked to {move}")
        self.job_id = job_id
        self.state = state
        self.move = move


class Fenced(JobError):
    def __init__(self, job_id: str, epoch: int) -> None:
        super().__init__(f"attempt {epoch} of {job_id} no longer holds the job")
        self.job_id = job_id
        self.epoch = epoch
