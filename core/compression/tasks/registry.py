"""The task that a recipe names, as the stages meet it."""

from typing import Any

from core.compression.tasks.causal_lm import CausalLmKind
from core.compression.tasks.embedding import EmbeddingKind
from core.compression.tasks.kind import TaskKind
from core.compression.tasks.question_answering import QuestionAnsweringKind
from core.compression.tasks.regression import RegressionKind
from core.compression.tasks.text_classification import TextClassificationKind
from core.compression.tasks.token_classification import TokenClassificationKind
from core.recipe.task import Task

TASK_KINDS: dict[str, type[TaskKind[Any]]] = {
    "text-classification": TextClassificationKind,
    "regression": RegressionKind,
    "token-classification": TokenClassificationKind,
    "question-answering": QuestionAnsweringKind,
    "causal-lm": CausalLmKind,
    "embedding": EmbeddingKind,
}
"""By the `type` of a recipe's task."""


def task_kind(config: Task) -> TaskKind[Any]:
    return TASK_KINDS[config.type](config)
