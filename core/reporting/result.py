"""A job's result, read from the JSON that the job row and report.json hold."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from core.recipe.events import AnswerChanges, MetricMeasured, Phase

Split = Literal["test", "validation"]
PHASES: tuple[Phase, ...] = get_args(Phase)
PHASE_TITLES: dict[str, str] = {
    "dense": "dense",
    "factorized": "factorized",
    "finetuned": "fine-tuned",
}
OPEN = ConfigDict(frozen=True, extra="allow")
"""Fields that only others know are kept."""


class Measured(BaseModel):
    """One metric of one phase."""

    model_config = OPEN

    value: float
    interval: tuple[float, float]
    n: int
    drop: float | None = None
    """dense − this, on the same rows."""
    drop_interval: tuple[float, float] | None = None


class BeforeAfter(BaseModel):
    model_config = OPEN

    before: int
    after: int

    @property
    def kept(self) -> float:
        return self.after / self.before


class Sizes(BaseModel):
    """Of the whole model (tied parameters once), and of its factorizable weights alone."""

    model_config = OPEN

    model: BeforeAfter
    targets: BeforeAfter


class Latency(BaseModel):
    """Milliseconds a batch, both models in turns in one run; intervals are of the medians."""

    model_config = OPEN

    batch: int
    repeats: int
    threads: int
    device: str
    mean_tokens: float
    dense_ms: float
    dense_interval: tuple[float, float]
    compressed_ms: float
    compressed_interval: tuple[float, float]
    dense_p95_ms: float | None = None
    """None in results of before it was told."""
    compressed_p95_ms: float | None = None
    speedup: float
    speedup_interval: tuple[float, float]


class PrunedMatrix(BaseModel):
    """A target layer before and after pruning. The numerical rank counts singular values above
    1e-3 of the largest, the exact one those above rounding."""

    model_config = OPEN

    name: str
    full_rank: int
    sparsity: float
    numerical_rank_before: int
    numerical_rank_after: int
    exact_rank_after: int
    empty_rows: int
    empty_columns: int


class Pruning(BaseModel):
    model_config = OPEN

    layers: tuple[PrunedMatrix, ...]

    @property
    def rank_shares(self) -> tuple[float, float]:
        """Numerical rank over the full one, before and after: means over matrices."""
        full = [layer.full_rank for layer in self.layers]
        before = [layer.numerical_rank_before for layer in self.layers]
        after = [layer.numerical_rank_after for layer in self.layers]
        return _mean_share(before, full), _mean_share(after, full)


def _mean_share(parts: Sequence[int], wholes: Sequence[int]) -> float:
    return fmean(part / whole for part, whole in zip(parts, wholes, strict=True))


class Result(BaseModel):
    """What a finished job measured."""

    model_config = OPEN

    metrics: dict[Phase, dict[str, Measured]]
    params: Sizes
    bytes: Sizes
    latency: Latency | None = None
    headline: str | None = None
    """The task's own metric; none in results of before tasks named one."""
    split: Split = "test"
    """Whose rows the metrics are of."""
    answers: AnswerChanges | None = None
    """Where the result answers otherwise than dense; None where rows have no one answer."""
    pruning: Pruning | None = None
    """None where the method prunes nothing."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The one that a headline shows first, the others in the order of the phases."""
        names = dict.fromkeys(n for p in self.phases for n in self.metrics[p])
        first = [self.headline] if self.headline in names else []
        return tuple(dict.fromkeys([*first, *names]))

    @property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(phase for phase in PHASES if phase in self.metrics)

    @property
    def final_phase(self) -> Phase:
        """The phase of the model that the artifact holds."""
        return self.phases[-1]

    def measured(self, name: str) -> tuple[MetricMeasured, ...]:
        """This metric in every phase that has it."""
        return tuple(
            MetricMeasured(phase=phase, name=name, **self.metrics[phase][name].model_dump())
            for phase in self.phases
            if name in self.metrics[phase]
        )
