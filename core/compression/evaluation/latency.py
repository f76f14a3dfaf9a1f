"""Latency against the dense model: the same batches, in turns, in the same run."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.compression.progress import Progress
from core.compression.tasks.batches import Batch, make_batch
from core.compression.tasks.examples import Examples

WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Milliseconds per batch, alternated; medians with distribution-free intervals."""

    batch: int
    repeats: int
    threads: int
    device: str
    mean_tokens: float
    """Tokens per row that the batches were padded to, on average."""
    dense_ms: float
    dense_interval: tuple[float, float]
    compressed_ms: float
    compressed_interval: tuple[float, float]
    dense_p95_ms: float
    compressed_p95_ms: float
    speedup: float
    """Median over repeats of dense / compressed on the same batch."""
    speedup_interval: tuple[float, float]
    dense_peak_bytes: int | None
    """None where the device does not tell (CPU)."""
    compressed_peak_bytes: int | None


@torch.no_grad()
def measure_latency(
    dense: nn.Module,
    compressed: nn.Module,
    examples: Examples,
    batch_size: int,
    repeats: int,
    device: str,
    confidence: float = 0.95,
    clock: Callable[[], float] = perf_counter,
) -> Generator[Progress, None, Latency]:
    """Time both models on the split's own rows, `batch_size` at a time, after a warm-up.

    Every repeat takes the next rows and gives the same batch to both, each first in turn.
    """
    models = (dense.eval(), compressed.eval())
    batches = list(_batches(examples, batch_size, repeats, device))
    for batch in batches[:WARM_UP]:
        for model in models:
            model(**batch.inputs)
    seconds = np.zeros((repeats, 2))
    for repeat, batch in enumerate(batches):
        for which in (0, 1) if repeat % 2 == 0 else (1, 0):
            seconds[repeat, which] = _time(models[which], batch, device, clock)
        yield Progress(repeat + 1, repeats, "repeat")
    ratios = seconds[:, 0] / seconds[:, 1]
    tokens = np.mean([batch.inputs["input_ids"].shape[1] for batch in batches])
    return Latency(
        batch=len(batches[0]),
        repeats=repeats,
        threads=torch.get_num_threads(),
        device=device,
        mean_tokens=float(tokens),
        dense_ms=float(np.median(seconds[:, 0]) * 1e3),
        dense_interval=median_interval(seconds[:, 0] * 1e3, confidence),
        compressed_ms=float(np.median(seconds[:, 1]) * 1e3),
        compressed_interval=median_interval(seconds[:, 1] * 1e3, confidence),
        dense_p95_ms=float(np.percentile(seconds[:, 0], 95) * 1e3),
        compressed_p95_ms=float(np.percentile(seconds[:, 1], 95) * 1e3),
        speedup=float(np.median(ratios)),
        speedup_interval=median_interval(ratios, confidence),
        dense_peak_bytes=_peak_bytes(dense, batches, device),
        compressed_peak_bytes=_peak_bytes(compressed, batches, device),
    )


def median_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Order statistics around the median: their ranks are Binomial(n, ½), whatever the noise."""
    ordered = np.sort(values)
    outside = _outside(len(ordered), (1 - confidence) / 2)
    return float(ordered[outside]), float(ordered[len(ordered) - 1 - outside])


def _outside(n: int, probability: float) -> int:
    """The largest k with P(Binomial(n, ½) ≤ k) ≤ probability; 0 where there is none."""
    tails = np.cumsum(np.exp(_log_choose(n) - n * np.log(2)))
    return max(0, int(np.searchsorted(tails, probability, side="right")) - 1)


def _log_choose(n: int) -> NDArray[np.float64]:
    """log C(n, k) for k = 0 … n."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return np.asarray(factorials[n] - factorials - factorials[::-1])


def _batches(examples: Examples, batch_size: int, repeats: int, device: str) -> Iterator[Batch]:
    for repeat in range(repeats):
        rows = (np.arange(min(batch_size, len(examples))) + repeat * batch_size) % len(examples)
        yield make_batch(examples, rows, device)


def _time(model: nn.Module, batch: Batch, device: str, clock: Callable[[], float]) -> float:
    _wait_for(device)
    started = clock()
    model(**batch.inputs)
    _wait_for(device)
    return clock() - started


def _peak_bytes(model: nn.Module, batches: Sequence[Batch], device: str) -> int | None:
    """Most memory that a forward pass needs on top of what lies on the device before it."""
    if not device.startswith("cuda"):
        return None
    widest = max(batches, key=lambda batch: batch.inputs["input_ids"].shape[1])
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    model(**widest.inputs)
    return int(torch.cuda.max_memory_allocated(device) - before)


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
