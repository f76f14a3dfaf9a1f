"""The compressed model of a run, as one of its stages left it."""

from safetensors.torch import load_model
from torch import nn

from core.compression.models.factorized import put_empty
from core.compression.run_state import Run


def load_compressed(run: Run, stage: str) -> nn.Module:
    """The dense model's skeleton with the plan's thin layers and the weights of this stage."""
    model = run.load_dense()
    for layer in run.plan.layers:
        if layer.rank is not None:
            put_empty(model, layer.name, layer.rank)
    load_model(model, run.folder(stage) / "model.safetensors")
    return model.to(run.device).eval()


def final_stage(run: Run) -> str:
    """The stage whose weights are the result."""
    return "finetune" if run.recipe.recovers else "factorize"
