"""What a run reports while it works: the pipeline yields these, the supervisor records them.

They cross a pipe as one JSON object a line, tagged by ``type``.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Phase = Literal["dense", "factorized", "finetuned"]


class RunEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RunnerReady(RunEvent):
    """The runner has its libraries loaded and a device chosen."""

    type: Literal["runner.ready"] = "runner.ready"
    device: str
    threads: int
    versions: dict[str, str]


class StageStarted(RunEvent):
    type: Literal["stage.started"] = "stage.started"
    stage: str
    fingerprint: str
    """SHA-256 of the stage's full resolved input."""


class StageProgress(RunEvent):
    type: Literal["stage.progress"] = "stage.progress"
    stage: str
    done: int
    total: int
    unit: str
    eta_s: float | None = None
    values: dict[str, float] = Field(default_factory=dict)
    """What is worth plotting at this point: loss, learning_rate, …"""


class ValidationMeasured(RunEvent):
    """A model in training was scored on the validation split."""

    type: Literal["validation.measured"] = "validation.measured"
    stage: str
    step: int
    metric: str
    """The task's headline metric."""
    value: float
    loss: float
    best: bool
    """No earlier state of this training that may be its result is as good."""


class LayerStructure(BaseModel):
    """What one matrix has come to while its structure is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    rank: int | None = None
    """Of the matrix as it is computed with; null where it is not looked at."""
    sparsity: float | None = None
    """The share of its weights that are zero; null where that is not looked at."""


class StructureReported(RunEvent):
    """Ranks and sparsities of a model whose structure is trained, some 200 times in a training."""

    type: Literal["structure.reported"] = "structure.reported"
    stage: str
    step: int
    total: int
    layers: tuple[LayerStructure, ...]


class StageCheckpoint(RunEvent):
    """A restart would continue from here."""

    type: Literal["stage.checkpoint"] = "stage.checkpoint"
    stage: str
    step: int


class StageFinished(RunEvent):
    type: Literal["stage.finished"] = "stage.finished"
    stage: str
    fingerprint: str
    seconds: float
    source: Literal["computed", "cache", "workspace", "skipped"] = "computed"
    """`cache`: taken from another job's work; `workspace`: done by an earlier attempt of this job;
    `skipped`: the recipe gives this stage nothing to do."""
    summary: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class CacheUsed(RunEvent):
    """An entry of the project's cache was read or written (for accounting and eviction)."""

    type: Literal["cache.used"] = "cache.used"
    stage: str
    fingerprint: str
    path: str
    """Folder of the entry, relative to the project's cache."""
    bytes: int
    created: bool


class LayerReport(BaseModel):
    """One target layer of the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    out_features: int
    in_features: int
    rank: int | None
    """None: left dense."""
    params_before: int
    params_after: int
    retained_energy: float | None = None
    predicted_loss_increase: float | None = None
    phi: float | None = None
    """Where plain SVD will hurt: 0 to 1/in, read before anything is factorized; None unless asked
    for by `calibration.phi` or taken for the method."""
    measured_error: float | None = None
    """Relative error in the method's own weighted norm, measured on the factors."""
    spectrum: tuple[float, ...] = ()
    """Squared weighted singular values, descending, thinned to at most 128 points."""
    raw_spectrum: tuple[float, ...] = ()
    """The same of the weight alone, whatever the method weighs."""
    use: Literal["linear", "lookup", "tied"] = "linear"
    """A linear layer, a token embedding [dim, vocab], or one that is also the head."""


class LayersReported(RunEvent):
    type: Literal["layers.reported"] = "layers.reported"
    layers: tuple[LayerReport, ...]


class MetricMeasured(RunEvent):
    """A metric on the split that is evaluated; the interval of a compressed phase's drop is paired
    to dense."""

    type: Literal["metric.measured"] = "metric.measured"
    phase: Phase
    name: str
    value: float
    interval: tuple[float, float]
    n: int
    drop: float | None = None
    """dense − this, on the same rows."""
    drop_interval: tuple[float, float] | None = None


class LabelCounts(BaseModel):
    """One label, or one type of entity, in the answers of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    right: int
    """How often it was answered and right."""
    answered: int
    true: int
    """How often it was right to answer."""


class LabelChange(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    dense: LabelCounts
    result: LabelCounts


class ChangedAnswer(BaseModel):
    """A row that the dense model and the result answer differently; long texts are cut."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    row: int
    """Of the split that is evaluated, from 0."""
    kind: Literal["worse", "better", "other"]
    """`other`: both are as wrong, in different ways."""
    texts: tuple[str, ...]
    true: str
    dense: str
    result: str
    dense_error: float
    result_error: float
    dense_confidence: float | None = None
    result_confidence: float | None = None


class AnswerChanges(BaseModel):
    """How the result's answers differ from the dense model's, over all rows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    phase: Phase
    """The one that is compared with dense: the result's."""
    rows: int
    worse: int
    """Rows with a larger error than the dense model's."""
    better: int
    other: int
    """Rows answered differently that are as wrong."""
    error_unit: str
    """What a row's error counts: label, entity, word, answer or difference."""
    labels: tuple[LabelChange, ...]
    """Empty where answers are no labels."""


class AnswersCompared(RunEvent):
    """Rows whose answer has changed, beginning with the worst, and what changed for each label."""

    type: Literal["answers.compared"] = "answers.compared"
    changes: AnswerChanges
    examples: tuple[ChangedAnswer, ...]
    """At most `evaluation.changed_answers`. Kept apart from the history, until the job is
    deleted."""


class LogLine(RunEvent):
    type: Literal["log"] = "log"
    level: Literal["info", "warning"]
    message: str
    stage: str | None = None


class ArtifactFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Path inside the artifact, with forward slashes."""
    bytes: int
    sha256: str


class ArtifactReady(RunEvent):
    """The whole artifact stands in the workspace and waits to be published."""

    type: Literal["artifact.ready"] = "artifact.ready"
    directory: str
    files: tuple[ArtifactFile, ...]


class SpectraReady(RunEvent):
    """The spectra of this model under this method, kept so that plans need no GPU."""

    type: Literal["spectra.ready"] = "spectra.ready"
    fingerprint: str
    path: str
    """An .npz in the workspace."""


class RunSucceeded(RunEvent):
    type: Literal["run.succeeded"] = "run.succeeded"
    result: dict[str, object]
    """As GET /v1/jobs/{id} shows it: metrics, params, bytes, latency."""


class RunFailed(RunEvent):
    type: Literal["run.failed"] = "run.failed"
    stage: str | None
    code: str
    message: str
    hint: str | None = None
    retryable: bool = False
    pointer: str | None = None
    """The recipe's field to change, where one is to blame."""


class RunStopped(RunEvent):
    """The run stood down at a safe point because it was asked to."""

    type: Literal["run.stopped"] = "run.stopped"
    stage: str | None


Event = Annotated[
    RunnerReady
    | StageStarted
    | StageProgress
    | ValidationMeasured
    | StructureReported
    | StageCheckpoint
    | StageFinished
    | CacheUsed
    | LayersReported
    | MetricMeasured
    | AnswersCompared
    | LogLine
    | ArtifactReady
    | SpectraReady
    | RunSucceeded
    | RunFailed
    | RunStopped,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
