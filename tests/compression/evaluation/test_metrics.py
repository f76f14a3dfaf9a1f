import numpy as np
import pytest
from scipy import stats

from core.compression.evaluation.metrics import Bootstrap, compare
from core.compression.metrics.classification import (
    correct,
    divergences,
    f1_of_second,
    losses,
    matthews,
)
from core.compression.metrics.correlation import pearson, row_spearman, spearman
from core.compression.metrics.metric import Metric, mean
from core.compression.tasks.kind import Outputs

N = 400


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def test_losses_and_divergences_follow_their_definitions(generator: np.random.Generator) -> None:
    dense, logits = generator.normal(size=(2, 20, 3))
    labels = generator.integers(0, 3, 20)
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (dense, logits))
    assert losses(logits, labels) == pytest.approx(-np.log(q[np.arange(20), labels]))
    assert divergences(dense, logits) == pytest.approx((p * np.log(p / q)).sum(1))


def test_large_logits_stay_finite() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert losses(logits, np.array([0, 0])) == pytest.approx([0, 2e4])
    assert divergences(logits, logits) == pytest.approx([0, 0])


def interval(rows: np.ndarray, bootstrap: Bootstrap) -> tuple[float, float]:
    return bootstrap.measure(mean("accuracy", rows)).interval


def test_the_interval_covers_as_often_as_it_says(generator: np.random.Generator) -> None:
    covered = 0
    for trial in range(200):
        rows = (generator.random(N) < 0.8).astype(float)
        low, high = interval(rows, Bootstrap(N, 400, 0.9, seed=trial))
        covered += low <= 0.8 <= high
    assert 0.84 <= covered / 200 <= 0.96


def test_the_interval_is_that_of_the_normal_approximation(generator: np.random.Generator) -> None:
    rows = generator.normal(2, 1, N)
    low, high = interval(rows, Bootstrap(N, 20_000, 0.95, seed=0))
    half = 1.96 * rows.std() / np.sqrt(N)
    assert (low, high) == pytest.approx((rows.mean() - half, rows.mean() + half), abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval(generator: np.random.Generator) -> None:
    rows = generator.random(N)
    intervals = [interval(rows, Bootstrap(N, 200, 0.95, seed)) for seed in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]


class Accuracy:
    """And the divergence from the dense model's logits."""

    def __init__(self, labels: np.ndarray):
        self.labels = labels

    def __call__(self, outputs: Outputs, dense: Outputs | None) -> list[Metric]:
        found = [mean("accuracy", correct(outputs["logits"], self.labels))]
        if dense is not None:
            found.append(mean("kl", divergences(dense["logits"], outputs["logits"])))
        return found


def test_drops_are_paired(generator: np.random.Generator) -> None:
    labels = generator.integers(0, 2, N)
    dense = np.where(np.arange(2) == labels[:, None], 1.0, 0.0)
    dense[generator.random(N) < 0.2] *= -1
    worse = dense.copy()
    worse[:4] = -np.abs(worse[:4]) * np.where(np.arange(2) == labels[:4, None], 1.0, -1.0)
    phases = {"dense": {"logits": dense}, "factorized": {"logits": worse}}
    compared = compare(phases, Accuracy(labels), Bootstrap(N, 2000, 0.95, 0))
    accuracy = compared["factorized"]["accuracy"]
    assert accuracy.drop == pytest.approx(compared["dense"]["accuracy"].value - accuracy.value)
    assert accuracy.drop_interval is not None
    paired = accuracy.drop_interval[1] - accuracy.drop_interval[0]
    assert paired < 0.5 * (accuracy.interval[1] - accuracy.interval[0])
    assert accuracy.n == N


def test_the_dense_phase_has_no_drop_and_no_divergence(generator: np.random.Generator) -> None:
    logits, labels = generator.normal(size=(N, 2)), generator.integers(0, 2, N)
    phases = {"dense": {"logits": logits}, "factorized": {"logits": logits}}
    compared = compare(phases, Accuracy(labels), Bootstrap(N, 100, 0.95, 0))
    assert list(compared) == ["dense", "factorized"]
    assert set(compared["dense"]) == {"accuracy"}
    assert compared["dense"]["accuracy"].drop is None
    assert compared["factorized"]["accuracy"].drop_interval == (0, 0)
    assert compared["factorized"]["kl"].value == pytest.approx(0)


def f1(answers: np.ndarray, labels: np.ndarray) -> float:
    hits = float((answers & labels).sum())
    return 2 * hits / max(1, answers.sum() + labels.sum())


def r_k(answers: np.ndarray, labels: np.ndarray) -> float:
    """Covariance over spreads, on one-hot columns: Gorodkin's definition."""
    one, other = np.eye(3)[answers], np.eye(3)[labels]
    one, other = one - one.mean(0), other - other.mean(0)
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


def resamples(generator: np.random.Generator, n: int) -> list[np.ndarray]:
    return [np.arange(n), *generator.integers(0, n, (5, n))]


def check_on_resamples(metric: Metric, expected: list[float], rows: list[np.ndarray]) -> None:
    n = len(rows[0])
    counts = np.stack([np.bincount(drawn, minlength=n) for drawn in rows]).astype(np.float32)
    assert metric.value == pytest.approx(expected[0], abs=1e-9)
    assert metric.of(counts) == pytest.approx(np.array(expected), abs=1e-9)


def test_every_corpus_metric_is_that_of_the_resampled_rows(generator: np.random.Generator) -> None:
    rows = resamples(generator, 50)
    a, b = generator.integers(0, 2, (2, 50))
    check_on_resamples(f1_of_second(a, b), [f1(a[r], b[r]) for r in rows], rows)
    a, b = generator.integers(0, 3, (2, 50))
    check_on_resamples(matthews(a, b, 3), [r_k(a[r], b[r]) for r in rows], rows)
    x, y = generator.normal(3, 1, (2, 50))
    x = x + y
    check_on_resamples(pearson(x, y), [stats.pearsonr(x[r], y[r])[0] for r in rows], rows)
    x, y = generator.integers(0, 6, (2, 50)).astype(float)
    check_on_resamples(spearman(x, y), [stats.spearmanr(x[r], y[r])[0] for r in rows], rows)


def test_correlations_with_a_constant_are_zero() -> None:
    constant, other = np.full(20, 0.1), np.arange(20.0)
    assert pearson(constant, other).value == 0
    assert spearman(constant, other).value == 0
    assert matthews(np.zeros(4, dtype=int), np.array([0, 1, 1, 0]), 2).value == 0


def test_rank_correlation_row_by_row_is_scipys(generator: np.random.Generator) -> None:
    a, b = generator.integers(0, 5, (2, 6, 12)).astype(float)
    expected = [stats.spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)]
    assert row_spearman(a, b) == pytest.approx(expected)
