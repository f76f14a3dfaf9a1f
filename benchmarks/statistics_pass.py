"""What the statistics pass costs beside a plain forward and backward pass over the same batches.

    python -m benchmarks.statistics_pass [--examples N] [--batch N] [--length N] [--rounds N]

Prints Markdown. A real 6-layer MiniLM (384 wide, 36 target layers) on real short texts; every round
times all contestants on the same batches, one after the other, and ratios are medians over rounds
of the ratio within one round.
"""

import argparse
import csv
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

from core.compression.statistics.fisher_loss import classification_loss
from core.compression.statistics.statistics_pass import Requirements, StatisticsPass
from core.compression.statistics.tokens import Batch
from core.recipe.methods import FwsvdConfig, KfacConfig, MethodConfig, SvdLlmConfig
from demo.assets import LABELS, model_folder, write_texts

LOSS = classification_loss("empirical")
STATISTICS: Mapping[str, tuple[MethodConfig, ...]] = {
    "svd_llm": (SvdLlmConfig(),),
    "fwsvd, one side": (FwsvdConfig(),),
    "fwsvd, both sides": (FwsvdConfig(sides="both"),),
    "kfac": (KfacConfig(),),
    "svd_llm + fwsvd (both) + kfac": (SvdLlmConfig(), FwsvdConfig(sides="both"), KfacConfig()),
}


def load_model() -> nn.Module:
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        model_folder(), num_labels=3, attn_implementation="sdpa"
    )
    return model.eval()


def load_batches(examples: int, batch: int, length: int, joined: bool) -> list[Batch]:
    """Texts as the pipeline reads them, shortest first and padded to the longest of their batch;
    or joined and cut so that all have `length` tokens."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    rows = labelled_texts()
    if joined:
        rows = [
            (" ".join(t for t, _ in rows[i : i + length // 8]), rows[i][1])
            for i in range(len(rows) - length)
        ]
    rows = sorted(rows[:examples], key=lambda row: len(tokenizer.tokenize(row[0])))
    return [
        {
            **tokenizer(
                [text for text, _ in rows[start : start + batch]],
                padding=True,
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ),
            "labels": torch.tensor([label for _, label in rows[start : start + batch]]),
        }
        for start in range(0, examples, batch)
    ]


def labelled_texts() -> list[tuple[str, int]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "texts.csv"
        write_texts(path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["text"], LABELS.index(row["label"])) for row in csv.DictReader(file)]
    random.Random(17).shuffle(rows)
    return rows


def targets(model: nn.Module) -> dict[str, nn.Linear]:
    """The encoder's linear layers: neither pooler nor head."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".encoder." in name
    }


def requirements(model: nn.Module, methods: Iterable[MethodConfig]) -> Requirements:
    return {
        name: frozenset().union(*(m.required_statistics(*linear.weight.shape) for m in methods))
        for name, linear in targets(model).items()
    }


def plain(model: nn.Module, batches: list[Batch]) -> None:
    """Forward and backward with all weights asking for their gradient."""
    for batch in batches:
        model.zero_grad()
        LOSS(model, batch).mean().backward()  # type: ignore[no-untyped-call]
    model.zero_grad()


def statistics(methods: Iterable[MethodConfig], model: nn.Module, batches: list[Batch]) -> None:
    with StatisticsPass(model, requirements(model, methods)) as statistics_pass:
        for batch in batches:
            statistics_pass.update(batch, LOSS)
        statistics_pass.statistics()


def one_at_a_time(model: nn.Module, batches: list[Batch]) -> None:
    """The public implementations' way to fisher_in and fisher_out: a backward pass per example."""
    weights = {name: linear.weight for name, linear in targets(model).items()}
    fisher_in = {name: torch.zeros(weight.shape[1]) for name, weight in weights.items()}
    fisher_out = {name: torch.zeros(weight.shape[0]) for name, weight in weights.items()}
    for batch in batches:
        for index in range(len(batch["labels"])):
            model.zero_grad()
            row = {name: values[index : index + 1] for name, values in batch.items()}
            LOSS(model, row).sum().backward()  # type: ignore[no-untyped-call]
            for name, weight in weights.items():
                assert weight.grad is not None
                squared = weight.grad.square()
                fisher_in[name] += squared.sum(0)
                fisher_out[name] += squared.sum(1)
    model.zero_grad()


CONTESTANTS: Mapping[str, Callable[[nn.Module, list[Batch]], None]] = {
    "plain forward + backward": plain,
    **{name: partial(statistics, methods) for name, methods in STATISTICS.items()},
    "fwsvd, both sides, one example at a time": one_at_a_time,
}


def seconds(contestant: Callable[[], None]) -> float:
    started = time.perf_counter()
    contestant()
    return time.perf_counter() - started


def measure(model: nn.Module, batches: list[Batch], rounds: int) -> dict[str, list[float]]:
    """Seconds by contestant and round, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for round_ in range(rounds + 1):
        for name, contestant in CONTESTANTS.items():
            taken = seconds(partial(contestant, model, batches))
            if round_:
                times[name].append(taken)
    return times


def table(times: Mapping[str, list[float]]) -> str:
    reference = next(iter(times.values()))
    lines = ["| what | median s | × plain |", "|---|---|---|"]
    for name, taken in times.items():
        ratio = median(one / base for one, base in zip(taken, reference, strict=True))
        lines.append(f"| {name} | {median(taken):.2f} | {ratio:.2f} |")
    return "\n".join(lines)


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model = load_model()
    print(
        f"### The statistics pass\n\ncommit {commit() or 'unknown'}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, float32, batches of {options.batch}, "
        f"{options.examples} texts, {len(targets(model))} layers, {options.rounds} rounds"
    )
    for joined in (False, True):
        batches = load_batches(options.examples, options.batch, options.length, joined)
        positions = sum(batch["attention_mask"].numel() for batch in batches)
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        kind = (
            f"joined to {options.length} tokens"
            if joined
            else "shortest first, as the pipeline does"
        )
        print(f"\nTexts {kind}: {tokens} tokens in {positions} positions\n")
        print(table(measure(model, batches, options.rounds)))


if __name__ == "__main__":
    main()
