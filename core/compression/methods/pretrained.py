"""The model as it came, with a head for the task, before it has learned anything of it here."""

import torch
from torch import nn

from core.compression.methods.seeds import stage_seed
from core.compression.models.loading import load_model
from core.compression.run_state import Run


def load_pretrained(run: Run) -> nn.Module:
    """A new head is the same wherever a training starts from here."""
    torch.manual_seed(stage_seed(run.recipe.dense_seed, "adapt"))
    return load_model(
        run.workspace.model,
        run.task.auto_class,
        run.resolved.label_names,
        keep_head=run.resolved.keep_head,
        pad_token_id=run.tokenizer.pad_token_id,
        device=run.device,
    ).model
