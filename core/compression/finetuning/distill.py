"""Distillation: the dense model teaches the compressed one its outputs and hidden states.

Hinton et al., Distilling the knowledge in a neural network, 2015 (logits, temperature T);
Sanh et al., DistilBERT, 2019, and Sun et al., Patient knowledge distillation, EMNLP 2019 (hidden
states of every layer: the compressed model keeps the teacher's width and depth, so they align).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.compression.tasks.batches import Batch
from core.compression.tasks.text_classification import example_losses
from core.recipe.training import DistillFinetune


@dataclass(frozen=True)
class Distillation:
    """w_task · CE + w_logits · T² KL(teacher_T ‖ student_T) + w_hidden · MSE of hidden states."""

    teacher: nn.Module
    config: DistillFinetune

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of each example: [b]."""
        with torch.no_grad():
            taught = self.teacher(**batch.inputs, output_hidden_states=True)
        student = model(**batch.inputs, output_hidden_states=True)
        temperature = self.config.temperature
        return (
            self.config.task_weight * example_losses(student.logits, batch.labels)
            + self.config.logits_weight
            * temperature**2
            * divergence(taught.logits / temperature, student.logits / temperature)
            + self.config.hidden_weight
            * hidden_error(taught, student, batch.inputs["attention_mask"])
        )


def divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """KL(softmax(reference) ‖ softmax(logits)) of each row: [b, classes] twice -> [b]."""
    return F.kl_div(
        logits.log_softmax(-1), reference.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)


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
