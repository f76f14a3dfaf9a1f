"""A new job: its row, the stages it will go through, and its first event."""

from typing import Any

from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.identifiers import new_id
from core.database.tables import Job, JobEvent, JobStage
from core.jobs.quotas import refuse_full_queue
from core.recipe import Recipe


def submit(
    session: Session,
    *,
    project_id: str,
    recipe: Recipe,
    inputs: dict[str, Any],
    priority: int = 0,
    max_queued: int = 0,
    sweep_id: str | None = None,
) -> Job:
    """Queue a job. Ring the doorbell after this session's commit, never before.

    Raises QueueFull where the project has `max_queued` waiting jobs already; 0 is no limit.
    """
    refuse_full_queue(session, project_id, max_queued)
    job = Job(
        id=new_id("job"),
        project_id=project_id,
        name=recipe.name,
        labels=recipe.labels,
        recipe=recipe.model_dump(mode="json"),
        recipe_hash=recipe.hash,
        sweep_id=sweep_id,
        inputs=inputs,
        queue=recipe.queue,
        priority=priority,
        last_seq=1,
        created_at=database_now(),
    )
    session.add(job)
    session.flush()
    session.add_all(_pending_stages(job, recipe))
    session.add(_queued_event(job))
    session.flush()
    return job


def _pending_stages(job: Job, recipe: Recipe) -> list[JobStage]:
    return [
        JobStage(
            job_id=job.id,
            project_id=job.project_id,
            stage=stage,
            position=position,
            state="pending",
        )
        for position, stage in enumerate(recipe.method.stages)
    ]


def _queued_event(job: Job) -> JobEvent:
    return JobEvent(
        job_id=job.id,
        project_id=job.project_id,
        seq=1,
        epoch=0,
        type="job.queued",
        data={"reason": "submitted"},
        created_at=job.created_at,
    )
