"""What metrics are worth: bootstrap intervals, and drops paired to the dense model's rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.compression.metrics.metric import Metric, Values
from core.compression.tasks.kind import Outputs

CHUNK = 1 << 22
"""Resamples are looked at so many drawn rows at a time."""


@dataclass(frozen=True)
class Measurement:
    """A metric of n rows, with a bootstrap interval; a drop is paired to the dense model's."""

    value: float
    interval: tuple[float, float]
    n: int
    drop: float | None = None
    """dense − this, on the same rows."""
    drop_interval: tuple[float, float] | None = None


class Bootstrap:
    """Percentile bootstrap over the same resampled rows, whatever is measured.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, §13.3. Since one set of resamples
    serves every phase, the interval of a difference is that of the paired rows.
    """

    def __init__(self, n: int, samples: int, confidence: float, seed: int):
        generator = np.random.default_rng([seed, 0xB007])
        self._n = n
        self._counts = generator.multinomial(n, np.full(n, 1 / n), size=samples).astype(np.float32)
        """[samples, n]: how often each row is drawn."""
        self._tails = [50 * (1 - confidence), 50 * (1 + confidence)]

    def resampled(self, metric: Metric) -> Values:
        """The metric of every resample: [samples]."""
        step = max(1, CHUNK // self._n)
        starts = range(0, len(self._counts), step)
        return np.concatenate([metric.of(self._counts[start : start + step]) for start in starts])

    def interval(self, values: Values) -> tuple[float, float]:
        low, high = np.percentile(values, self._tails)
        return float(low), float(high)

    def measure(self, metric: Metric, dense: Metric | None = None) -> Measurement:
        values = self.resampled(metric)
        if dense is None:
            return Measurement(metric.value, self.interval(values), self._n)
        drops = self.interval(self.resampled(dense) - values)
        return Measurement(
            metric.value, self.interval(values), self._n, dense.value - metric.value, drops
        )


MetricsOf = Callable[[Outputs, Outputs | None], Sequence[Metric]]
"""(a model's outputs, the dense model's, where they are another's) -> its metrics."""


def compare(
    phases: Mapping[str, Outputs], metrics_of: MetricsOf, bootstrap: Bootstrap
) -> dict[str, dict[str, Measurement]]:
    """phase -> metric -> measurement; `phases` are the outputs of each, "dense" among them."""
    dense = _by_name(metrics_of(phases["dense"], None))
    measured = {"dense": {name: bootstrap.measure(metric) for name, metric in dense.items()}}
    for phase in phases.keys() - {"dense"}:
        metrics = _by_name(metrics_of(phases[phase], phases["dense"]))
        measured[phase] = {
            name: bootstrap.measure(metric, dense.get(name)) for name, metric in metrics.items()
        }
    return {phase: measured[phase] for phase in phases}


def _by_name(metrics: Iterable[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}
