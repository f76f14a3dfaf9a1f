"""Distillation: the dense model teaches the compressed one its outputs and hidden states.

Hinton et al., Distilling the knowledge in a neural network, 2015 (logits, temperature T);
Sanh et al., DistilBERT, 2019, and Sun et al., Patient knowledge distillation, EMNLP 2019 (hidden
states of every layer: the compressed model keeps the teacher's width and depth, so they align).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.compression.tasks.batches import Batch
from core.compression.tasks.kind import TaskKind
from core.recipe.training import DistillationConfig


@dataclass(frozen=True)
class Distillation:
    """The task's own distillation losses + w_hidden · MSE of hidden states."""

    task: TaskKind[Any]
    teacher: nn.Module
    config: DistillationConfig

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of each example: [b]."""
        with torch.no_grad():
            taught = self.teacher(**batch.inputs, output_hidden_states=True)
        student = model(**batch.inputs, output_hidden_states=True)
        hidden = hidden_error(taught, student, batch.mask)
        outputs = self.task.distillation_losses(taught, student, batch, self.config)
        return outputs + self.config.hidden_weight * hidden


def hidden_error(taught: Any, student: Any, attention_mask: Tensor) -> Tensor:
    """Squared error of hidden states, the mean over layers, features and true tokens: [b]."""
    errors = torch.stack(
        [
            (theirs - ours).square().mean(-1)  # [b, tokens]
            for theirs, ours in zip(
                taught.hidden_states[1:], student.hidden_states[1:], strict=True
            )
        ]
    ).mean(0)
    return (errors * attention_mask).sum(-1) / attention_mask.sum(-1)
