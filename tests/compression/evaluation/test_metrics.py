import numpy as np
import pytest

from core.compression.evaluation.metrics import Bootstrap, compare, divergences, losses

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


def test_the_interval_covers_as_often_as_it_says(generator: np.random.Generator) -> None:
    covered = 0
    for trial in range(200):
        rows = (generator.random(N) < 0.8).astype(float)
        low, high = Bootstrap(N, 400, 0.9, seed=trial).interval(rows)
        covered += low <= 0.8 <= high
    assert 0.84 <= covered / 200 <= 0.96


def test_the_interval_is_that_of_the_normal_approximation(generator: np.random.Generator) -> None:
    rows = generator.normal(2, 1, N)
    low, high = Bootstrap(N, 20_000, 0.95, seed=0).interval(rows)
    half = 1.96 * rows.std() / np.sqrt(N)
    assert (low, high) == pytest.approx((rows.mean() - half, rows.mean() + half), abs=0.1 * half)


def test_drops_are_paired(generator: np.random.Generator) -> None:
    labels = generator.integers(0, 2, N)
    dense = np.where(np.arange(2) == labels[:, None], 1.0, 0.0)
    dense[generator.random(N) < 0.2] *= -1
    worse = dense.copy()
    worse[:4] = -np.abs(worse[:4]) * np.where(np.arange(2) == labels[:4, None], 1.0, -1.0)
    compared = compare({"dense": dense, "factorized": worse}, labels, Bootstrap(N, 2000, 0.95, 0))
    accuracy = compared["factorized"]["accuracy"]
    assert accuracy.drop == pytest.approx(compared["dense"]["accuracy"].value - accuracy.value)
    assert accuracy.drop_interval is not None
    paired = accuracy.drop_interval[1] - accuracy.drop_interval[0]
    assert paired < 0.5 * (accuracy.interval[1] - accuracy.interval[0])
    assert accuracy.n == N


def test_the_dense_phase_has_no_drop_and_no_divergence(generator: np.random.Generator) -> None:
    logits, labels = generator.normal(size=(N, 2)), generator.integers(0, 2, N)
    compared = compare({"dense": logits, "factorized": logits}, labels, Bootstrap(N, 100, 0.95, 0))
    assert set(compared["dense"]) == {"accuracy", "loss"}
    assert compared["dense"]["accuracy"].drop is None
    assert compared["factorized"]["accuracy"].drop_interval == (0, 0)
    assert compared["factorized"]["kl"].value == pytest.approx(0)


def test_the_same_seed_gives_the_same_interval(generator: np.random.Generator) -> None:
    rows = generator.random(N)
    intervals = [Bootstrap(N, 200, 0.95, seed).interval(rows) for seed in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]
