"""Jobs beside each other: where their recipes differ, and what came of each."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.comparisons.schemas import (
    ComparedJob,
    Comparison,
    FieldDifference,
    MetricComparison,
    RankComparison,
    SizeComparison,
)
from api.jobs.service import get
from core.database.states import shown_status
from core.database.tables import Job, JobLayer
from core.reporting.differences import differences
from core.reporting.numbers import higher_is_better
from core.reporting.result import Measured, Result

NOT_COMPARED = ("name", "labels", "limits", "preset")
"""They change no result."""


def compare(session: Session, project_id: str, job_ids: Sequence[str]) -> Comparison:
    jobs = [get(session, project_id, job_id) for job_id in job_ids]
    results = [_result(job) for job in jobs]
    return Comparison(
        jobs=[_compared(job) for job in jobs],
        recipe=[
            FieldDifference(pointer=each.pointer, values=list(each.values))
            for each in differences([_recipe(job) for job in jobs])
        ],
        sizes=_sizes(results),
        metrics=_metrics(results),
        ranks=_ranks(session, jobs),
        same_rows=_same_rows(jobs),
    )


def _result(job: Job) -> Result | None:
    return None if job.result is None else Result.model_validate(job.result)


def _compared(job: Job) -> ComparedJob:
    status = shown_status(job.state, job.requested)
    return ComparedJob(id=job.id, name=job.name, status=status, recipe_hash=job.recipe_hash)


def _recipe(job: Job) -> dict[str, object]:
    return {name: value for name, value in job.recipe.items() if name not in NOT_COMPARED}


def _sizes(results: Sequence[Result | None]) -> SizeComparison:
    return SizeComparison(
        params=[None if r is None else r.params.model for r in results],
        target_params=[None if r is None else r.params.targets for r in results],
        bytes=[None if r is None else r.bytes.model for r in results],
        latency_ms=[r.latency.compressed_ms if r and r.latency else None for r in results],
    )


def _metrics(results: Sequence[Result | None]) -> list[MetricComparison]:
    finals = [{} if r is None else r.metrics[r.final_phase] for r in results]
    first = next((r.metric_names for r in results if r is not None), ())
    names = dict.fromkeys([*first, *(name for final in finals for name in final)])
    return [_metric(name, [final.get(name) for final in finals]) for name in names]


def _metric(name: str, found: Sequence[Measured | None]) -> MetricComparison:
    return MetricComparison(
        name=name,
        higher_is_better=higher_is_better(name),
        values=[each and each.value for each in found],
        intervals=[each and each.interval for each in found],
        drops=[each and each.drop for each in found],
    )


def _ranks(session: Session, jobs: Sequence[Job]) -> list[RankComparison]:
    rows = session.execute(
        select(JobLayer.job_id, JobLayer.name, JobLayer.report)
        .where(JobLayer.job_id.in_([job.id for job in jobs]))
        .order_by(JobLayer.position)
    ).all()
    found = {(job_id, name): report["rank"] for job_id, name, report in rows}
    layers = dict.fromkeys(name for _, name, _ in rows)
    compared = [
        RankComparison(layer=name, ranks=[found.get((job.id, name)) for job in jobs])
        for name in layers
    ]
    return [each for each in compared if len(set(each.ranks)) > 1]


def _same_rows(jobs: Sequence[Job]) -> bool:
    """The same split of the same rows: what makes two numbers one comparison."""
    if any(job.result is None for job in jobs):
        return False
    measured_on = {
        (
            job.inputs.get("dataset_sha256"),
            job.recipe.get("evaluation", {}).get("split", "test"),
            str((job.result or {}).get("provenance", {}).get("splits", {}).get("hash")),
        )
        for job in jobs
    }
    return len(measured_on) == 1
