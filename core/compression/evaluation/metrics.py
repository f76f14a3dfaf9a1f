"""What each row says about a model, and what their means are worth (bootstrap intervals)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
"""[n]: one number per row of the split."""


@dataclass(frozen=True)
class Measurement:
    """The mean over n rows, with a bootstrap interval; a drop is paired to the dense model's."""

    value: float
    interval: tuple[float, float]
    n: int
    drop: float | None = None
    """dense − this, on the same rows."""
    drop_interval: tuple[float, float] | None = None


class Bootstrap:
    """Percentile bootstrap of means over the same resampled rows, whatever is measured.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, §13.3. Since one set of resamples
    serves every phase, the interval of a difference is that of the paired rows.
    """

    def __init__(self, n: int, samples: int, confidence: float, seed: int):
        generator = np.random.default_rng([seed, 0xB007])
        self._counts = generator.multinomial(n, np.full(n, 1 / n), size=samples).astype(np.float32)
        """[samples, n]: how often each row is drawn."""
        self._tails = [50 * (1 - confidence), 50 * (1 + confidence)]

    def interval(self, rows: Rows) -> tuple[float, float]:
        means = self._counts @ rows / len(rows)
        low, high = np.percentile(means, self._tails)
        return float(low), float(high)

    def measure(self, rows: Rows, dense: Rows | None = None) -> Measurement:
        value, interval = float(rows.mean()), self.interval(rows)
        if dense is None:
            return Measurement(value, interval, len(rows))
        drop = dense - rows
        return Measurement(value, interval, len(rows), float(drop.mean()), self.interval(drop))


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def correct(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Rows:
    """1 where the largest logit is the label's: [n]."""
    return np.asarray(logits.argmax(axis=1) == labels, dtype=np.float64)


def losses(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Rows:
    """Cross-entropy: [n]."""
    return np.asarray(-log_softmax(logits)[np.arange(len(labels)), labels])


def divergences(dense: NDArray[np.float64], logits: NDArray[np.float64]) -> Rows:
    """KL(dense ‖ model) of the two answers to each row: [n]."""
    reference = log_softmax(dense)
    return np.asarray((np.exp(reference) * (reference - log_softmax(logits))).sum(axis=1))


def row_metrics(
    logits: NDArray[np.float64], labels: NDArray[np.int64], dense: NDArray[np.float64] | None
) -> dict[str, Rows]:
    """Every metric of a phase, row by row; `dense` are the dense model's logits."""
    metrics = {"accuracy": correct(logits, labels), "loss": losses(logits, labels)}
    return metrics if dense is None else {**metrics, "kl": divergences(dense, logits)}


def compare(
    phases: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    bootstrap: Bootstrap,
) -> dict[str, dict[str, Measurement]]:
    """phase -> metric -> measurement. `phases` are logits [n, classes], "dense" among them."""
    dense = row_metrics(phases["dense"], labels, None)
    return {
        phase: {
            name: bootstrap.measure(rows, dense.get(name) if phase != "dense" else None)
            for name, rows in row_metrics(
                logits, labels, None if phase == "dense" else phases["dense"]
            ).items()
        }
        for phase, logits in phases.items()
    }
