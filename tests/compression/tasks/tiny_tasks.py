"""A tiny float64 model and unpadded examples for every task."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import TaskKind
from core.compression.tasks.registry import TASK_KINDS, task_kind
from core.recipe.task import (
    CausalLm,
    Embedding,
    QuestionAnswering,
    Task,
    TextClassification,
    TextRegression,
    TokenClassification,
)
from tests.compression.tasks.reading import DATASET, tokenized
from tests.compression.tiny_models import (
    cycles,
    questions,
    rated,
    sentences,
    tagged,
    tiny_config,
    tiny_language_model,
    tiny_tokenizer,
    word_tokenizer,
)

CONFIGS: dict[str, Task] = {
    "text-classification": TextClassification(dataset=DATASET, max_length=16),
    "regression": TextRegression(dataset=DATASET, max_length=16),
    "token-classification": TokenClassification(dataset=DATASET, max_length=16),
    "question-answering": QuestionAnswering(dataset=DATASET, max_length=32, doc_stride=8),
    "causal-lm": CausalLm(dataset=DATASET, max_length=12),
    "embedding": Embedding(dataset=DATASET, max_length=16),
}
LABELS = {"regression": 1, "question-answering": 2, "token-classification": 3}
assert set(CONFIGS) == set(TASK_KINDS)


@dataclass(frozen=True)
class TinyTask:
    kind: TaskKind[Any]
    model: nn.Module
    examples: Examples

    @property
    def targets(self) -> dict[str, nn.Linear]:
        """The linear layers inside blocks."""
        found = self.model.named_modules()
        return {n: m for n, m in found if isinstance(m, nn.Linear) and ".layer" in f".{n}"}


def tiny_task(task: str, folder: Path, rows: int = 6) -> TinyTask:
    makers: dict[str, Any] = {
        "regression": rated,
        "token-classification": tagged,
        "question-answering": questions,
        "causal-lm": cycles,
    }
    config = CONFIGS[task]
    forward = task == "causal-lm"
    tokenizer = word_tokenizer() if forward else tiny_tokenizer(folder)
    examples = tokenized(config, makers.get(task, sentences)(rows), tokenizer)
    torch.manual_seed(4)
    sizes = {"num_labels": LABELS.get(task, 2), "initializer_range": 0.4}
    model = (
        tiny_language_model(initializer_range=0.4)
        if forward
        else getattr(transformers, task_kind(config).auto_class).from_config(tiny_config(**sizes))
    )
    return TinyTask(task_kind(config), model.double().eval(), examples)


def uneven(examples: Examples) -> np.ndarray:
    """The numbers of all examples, at least two lengths among them."""
    assert len(set(examples.lengths)) > 1, "nothing would be padded"
    return np.arange(len(examples))
