"""What a run reports, written to the job's tables under the guard."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.states import Requested
from core.database.tables import (
    CacheEntry,
    JobChangedAnswer,
    JobEvent,
    JobLayer,
    JobMetric,
    JobStage,
    SpectraRecord,
)
from core.database.upsert import upsert
from core.jobs.claims import Claim, hold
from core.jobs.publishing import spectra_key
from core.recipe.events import (
    AnswersCompared,
    CacheUsed,
    Event,
    LayersReported,
    MetricMeasured,
    SpectraReady,
    StageFinished,
    StageProgress,
    StageStarted,
)

HISTORY_EVERY_S = 1.0
"""Progress enters the history at most this often; the stage's row always has the newest."""
HISTORY_POINTS = 500
"""And, of one unit, about so many times a stage: a long training's curve stays readable."""

UNRECORDED = {
    "layers.reported": {"layers"},
    "answers.compared": {"examples"},
    "artifact.ready": {"directory"},
}
"""Fields left out of the history: kept in tables of their own, or paths of the worker's disk."""


@dataclass(frozen=True)
class Kept:
    """The last progress of a stage that entered the history."""

    moment: float
    done: int
    unit: str

    def makes_idle(self, event: StageProgress, moment: float) -> bool:
        """The event tells too little that this one did not."""
        if event.done >= event.total:
            return False
        gone = event.done - self.done
        is_near = event.unit == self.unit and 0 <= gone < event.total / HISTORY_POINTS
        return is_near or moment - self.moment < HISTORY_EVERY_S


@dataclass
class Recorder:
    """Writes one attempt's events; remembers only when progress last entered the history."""

    claim: Claim
    project_id: str
    clock: Callable[[], float]
    _recorded: dict[str, Kept] = field(default_factory=dict)

    def record(self, session: Session, events: Sequence[Event]) -> Requested | None:
        """Write events, all or none, and tell what was asked of the job. Fenced when it is lost."""
        history = [event for event in events if self._enters_history(event)]
        held = hold(session, self.claim, events=len(history), **_shown_on_job(events))
        self._append(session, history, held.last_seq - len(history))
        for event in _without_outdated(events):
            self._write(session, event)
        return held.requested

    def _enters_history(self, event: Event) -> bool:
        if not isinstance(event, StageProgress):
            return True
        last, moment = self._recorded.get(event.stage), self.clock()
        if last is not None and last.makes_idle(event, moment):
            return False
        self._recorded[event.stage] = Kept(moment, event.done, event.unit)
        return True

    def _append(self, session: Session, history: Sequence[Event], last_seq: int) -> None:
        rows = [
            self._owner
            | {"seq": seq, "epoch": self.claim.epoch, "type": event.type, "data": _shown(event)}
            for seq, event in enumerate(history, start=last_seq + 1)
        ]
        if rows:
            session.execute(insert(JobEvent).values(created_at=database_now()), rows)

    def _write(self, session: Session, event: Event) -> None:
        """The tables of an event's own; other events are history alone."""
        match event:
            case StageStarted():
                self._stage_started(session, event)
            case StageProgress():
                progress = event.model_dump(include={"done", "total", "unit", "eta_s"})
                self._update_stage(session, event.stage, **progress)
            case StageFinished():
                self._stage_finished(session, event)
            case CacheUsed():
                self._cache_used(session, event)
            case LayersReported():
                self._layers_reported(session, event)
            case MetricMeasured():
                self._metric_measured(session, event)
            case AnswersCompared():
                self._answers_compared(session, event)
            case SpectraReady():
                self._spectra_ready(session, event)
            case _:
                pass

    def _stage_started(self, session: Session, event: StageStarted) -> None:
        self._update_stage(
            session,
            event.stage,
            state="running",
            epoch=self.claim.epoch,
            fingerprint=event.fingerprint,
            started_at=database_now(),
            **dict.fromkeys(("done", "total", "unit", "eta_s", "seconds", "finished_at")),
        )

    def _stage_finished(self, session: Session, event: StageFinished) -> None:
        self._update_stage(
            session,
            event.stage,
            state="skipped" if event.source == "skipped" else "done",
            epoch=self.claim.epoch,
            fingerprint=event.fingerprint,
            source=event.source,
            seconds=event.seconds,
            summary=event.summary,
            eta_s=None,
            finished_at=database_now(),
        )

    def _update_stage(self, session: Session, stage: str, **values: Any) -> None:
        session.execute(
            update(JobStage)
            .where(JobStage.job_id == self.claim.job_id, JobStage.stage == stage)
            .values(**values)
            .execution_options(synchronize_session=False)
        )

    def _cache_used(self, session: Session, event: CacheUsed) -> None:
        entry = {"project_id": self.project_id, "used_at": database_now()} | event.model_dump(
            include={"stage", "fingerprint", "path", "bytes"}
        )
        upsert(session, CacheEntry, entry, keys=("project_id", "stage", "fingerprint"))

    def _layers_reported(self, session: Session, event: LayersReported) -> None:
        reports = [
            {"name": layer.name, "report": layer.model_dump(mode="json")} for layer in event.layers
        ]
        self._replace(session, JobLayer, reports)

    def _answers_compared(self, session: Session, event: AnswersCompared) -> None:
        answers = [{"answer": answer.model_dump(mode="json")} for answer in event.examples]
        self._replace(session, JobChangedAnswer, answers)

    def _replace(
        self,
        session: Session,
        table: type[JobLayer] | type[JobChangedAnswer],
        values: Sequence[dict[str, Any]],
    ) -> None:
        """The job's rows of this table are these, in their order."""
        session.execute(delete(table).where(table.job_id == self.claim.job_id))
        rows = [self._owner | {"position": n} | row for n, row in enumerate(values)]
        if rows:
            session.execute(insert(table), rows)

    def _metric_measured(self, session: Session, event: MetricMeasured) -> None:
        drop_low, drop_high = event.drop_interval or (None, None)
        row = self._owner | {
            "phase": event.phase,
            "name": event.name,
            "value": event.value,
            "low": event.interval[0],
            "high": event.interval[1],
            "n": event.n,
            "drop": event.drop,
            "drop_low": drop_low,
            "drop_high": drop_high,
        }
        upsert(session, JobMetric, row, keys=("job_id", "phase", "name"))

    def _spectra_ready(self, session: Session, event: SpectraReady) -> None:
        row = {
            "project_id": self.project_id,
            "fingerprint": event.fingerprint,
            "storage_key": spectra_key(self.project_id, event.fingerprint),
        }
        upsert(session, SpectraRecord, row, keys=("project_id", "fingerprint"))

    @property
    def _owner(self) -> dict[str, Any]:
        return {"job_id": self.claim.job_id, "project_id": self.project_id}


def _without_outdated(events: Sequence[Event]) -> Iterator[Event]:
    """All but the progress that later progress of the same stage replaces."""
    newest = {event.stage: event for event in events if isinstance(event, StageProgress)}
    for event in events:
        if not isinstance(event, StageProgress) or newest[event.stage] is event:
            yield event


def _shown(event: Event) -> dict[str, Any]:
    hidden = {"type"} | UNRECORDED.get(event.type, set())
    return event.model_dump(mode="json", exclude=hidden)


def _shown_on_job(events: Sequence[Event]) -> dict[str, Any]:
    """The job's newest stage and progress."""
    values: dict[str, Any] = {}
    for event in events:
        if isinstance(event, StageStarted):
            values = {"stage": event.stage, "progress": None}
        elif isinstance(event, StageProgress):
            progress = event.model_dump(include={"done", "total", "unit", "eta_s"})
            values = {"stage": event.stage, "progress": progress}
    return values
