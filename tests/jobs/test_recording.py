from itertools import pairwise

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError

from core.database.sessions import Sessions
from core.database.states import Requested
from core.database.tables import (
    CacheEntry,
    Job,
    JobChangedAnswer,
    JobEvent,
    JobLayer,
    JobMetric,
    JobStage,
    SpectraRecord,
)
from core.jobs.claims import claim_next
from core.jobs.recording import HISTORY_POINTS, Recorder
from core.jobs.submission import submit
from core.recipe.events import (
    AnswerChanges,
    AnswersCompared,
    CacheUsed,
    ChangedAnswer,
    LayerReport,
    LayersReported,
    LogLine,
    MetricMeasured,
    RunnerReady,
    SpectraReady,
    StageFinished,
    StageProgress,
    StageStarted,
)
from tests.factories import DEFAULT_PROJECT, make_inputs, make_recipe


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(sessions: Sessions, clock: Clock) -> Recorder:
    with sessions.begin() as session:
        submit(session, project_id=DEFAULT_PROJECT, recipe=make_recipe(), inputs=make_inputs())
        job = claim_next(session, "default", "host:1", 60.0)
    assert job is not None
    return Recorder(job.claim, job.project_id, clock)


def progress(done: int, *, stage: str = "resolve", total: int = 100) -> StageProgress:
    return StageProgress(stage=stage, done=done, total=total, unit="rows", eta_s=1.5)


def layer(name: str) -> LayerReport:
    return LayerReport(
        name=name, out_features=4, in_features=4, rank=1, params_before=16, params_after=8
    )


def kinds(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(JobEvent.type).order_by(JobEvent.seq)))


def test_a_stage_from_start_to_end(sessions: Sessions, recorder: Recorder) -> None:
    def stage() -> JobStage:
        with sessions() as session:
            return session.get_one(JobStage, (recorder.claim.job_id, "resolve"))

    with sessions.begin() as session:
        recorder.record(session, [StageStarted(stage="resolve", fingerprint="a" * 64)])
    assert (stage().state, stage().epoch, stage().fingerprint) == ("running", 1, "a" * 64)
    with sessions.begin() as session:
        recorder.record(session, [progress(1), progress(2), progress(3)])
        job = session.get_one(Job, recorder.claim.job_id)
        assert job.stage == "resolve"
        assert job.progress == {"done": 3, "total": 100, "unit": "rows", "eta_s": 1.5}
    assert (stage().done, stage().total, stage().unit) == (3, 100, "rows")
    with sessions.begin() as session:
        end = StageFinished(
            stage="resolve",
            fingerprint="a" * 64,
            seconds=2.5,
            source="cache",
            summary={"rows": 100},
        )
        recorder.record(session, [end])
    assert (stage().state, stage().source, stage().seconds) == ("done", "cache", 2.5)
    assert stage().summary == {"rows": 100}


def test_a_long_stage_enters_the_history_as_a_curve_of_bounded_length(
    sessions: Sessions, recorder: Recorder, clock: Clock
) -> None:
    total = 4 * HISTORY_POINTS
    with sessions.begin() as session:
        for done in range(1, total + 1):
            clock.now += 1.0
            recorder.record(session, [progress(done, total=total)])
    with sessions() as session:
        progressing = select(JobEvent.data).where(JobEvent.type == "stage.progress")
        done_at = [row["done"] for row in session.scalars(progressing.order_by(JobEvent.seq))]
    assert len(done_at) == HISTORY_POINTS + 1
    assert (done_at[0], done_at[-1]) == (1, total)
    assert max(b - a for a, b in pairwise(done_at)) == 4


def test_progress_enters_the_history_first_last_and_once_a_second(
    sessions: Sessions, recorder: Recorder, clock: Clock
) -> None:
    for done in range(1, 101):
        clock.now += 0.1
        with sessions.begin() as session:
            recorder.record(session, [progress(done)])
            if done % 7 == 0:
                recorder.record(session, [progress(done, stage="adapt")])
    with sessions() as session:
        rows = session.execute(
            select(JobEvent.seq, JobEvent.data)
            .where(JobEvent.type == "stage.progress")
            .order_by(JobEvent.seq)
        ).all()
        last_seq = session.scalars(select(Job.last_seq)).one()
    done = [row.data["done"] for row in rows if row.data["stage"] == "resolve"]
    assert (done[0], done[-1]) == (1, 100)
    assert 10 <= len(done) <= 12
    assert [row.seq for row in rows] == list(range(3, last_seq + 1))


def test_all_of_a_batch_or_nothing(sessions: Sessions, recorder: Recorder) -> None:
    good = LogLine(level="info", message="hello")
    bad = MetricMeasured(phase="dense", name="accuracy", value=1, interval=(1, 1), n=2**70)
    before = kinds(sessions)
    with pytest.raises((OverflowError, DataError)), sessions.begin() as session:
        recorder.record(session, [good, bad])
    assert kinds(sessions) == before
    with sessions.begin() as session:
        recorder.record(session, [good])
    with sessions() as session:
        seqs = session.scalars(select(JobEvent.seq).order_by(JobEvent.seq)).all()
    assert seqs == [1, 2, 3]


def test_what_is_measured_is_kept_in_tables_of_its_own(
    sessions: Sessions, recorder: Recorder
) -> None:
    metric = MetricMeasured(
        phase="factorized",
        name="accuracy",
        value=0.8,
        interval=(0.7, 0.9),
        n=50,
        drop=0.1,
        drop_interval=(0.0, 0.2),
    )
    first = LayersReported(layers=(layer("a"), layer("b"), layer("c")))
    second = LayersReported(layers=(layer("b"), layer("a")))
    spectra = SpectraReady(fingerprint="c" * 64, path="spectra.npz")
    used = CacheUsed(stage="adapt", fingerprint="d" * 64, path="adapt/d", bytes=5, created=True)
    again = used.model_copy(update={"bytes": 6, "created": False})
    with sessions.begin() as session:
        recorder.record(session, [metric, first, spectra, used])
        recorder.record(session, [metric.model_copy(update={"value": 0.85}), second, again])
    with sessions() as session:
        measured = session.scalars(select(JobMetric)).one()
        layers = session.scalars(select(JobLayer).order_by(JobLayer.position)).all()
        entry = session.scalars(select(CacheEntry)).one()
        record = session.scalars(select(SpectraRecord)).one()
        shown = session.scalars(
            select(JobEvent.data).where(JobEvent.type == "layers.reported")
        ).all()
    assert (measured.value, measured.low, measured.drop_high) == (0.85, 0.7, 0.2)
    assert [row.name for row in layers] == ["b", "a"]
    assert LayerReport.model_validate_json(LayerReport(**layers[0].report).model_dump_json())
    assert (entry.bytes, entry.path, entry.project_id) == (6, "adapt/d", DEFAULT_PROJECT)
    assert record.storage_key == f"spectra/{DEFAULT_PROJECT}/{'c' * 64}.npz"
    assert shown == [{}, {}]


def test_changed_answers_are_kept_apart_from_the_history(
    sessions: Sessions, recorder: Recorder
) -> None:
    changes = AnswerChanges(
        phase="factorized", rows=9, worse=2, better=0, other=0, error_unit="label", labels=()
    )

    def changed(row: int) -> ChangedAnswer:
        return ChangedAnswer(
            row=row,
            kind="worse",
            texts=("a secret",),
            true="a",
            dense="a",
            result="b",
            dense_error=0,
            result_error=1,
        )

    with sessions.begin() as session:
        for rows in ((1, 2), (7, 3)):
            examples = tuple(changed(row) for row in rows)
            recorder.record(session, [AnswersCompared(changes=changes, examples=examples)])
    with sessions() as session:
        query = select(JobChangedAnswer).order_by(JobChangedAnswer.position)
        assert [row.answer["row"] for row in session.scalars(query)] == [7, 3]
        of_this = select(JobEvent.data).where(JobEvent.type == "answers.compared")
        shown = session.scalars(of_this).all()
    assert shown == [{"changes": changes.model_dump(mode="json")}] * 2


def test_recording_tells_what_was_asked(sessions: Sessions, recorder: Recorder) -> None:
    ready = RunnerReady(device="cpu", threads=1, versions={"torch": "2"})
    with sessions.begin() as session:
        assert recorder.record(session, [ready]) is None
        session.get_one(Job, recorder.claim.job_id).requested = Requested.CANCEL
        session.flush()
        assert recorder.record(session, [ready]) is Requested.CANCEL
