"""The compressed model of a run, as one of its stages left it."""

from safetensors.torch import load_model
from torch import nn

from core.compression.low_rank import LowRankLinear
from core.compression.models.layers import linear_layer, replace_layer
from core.compression.run_state import Run


def load_compressed(run: Run, stage: str) -> nn.Module:
    """The dense model's skeleton with the plan's thin layers and the weights of this stage."""
    model = run.load_dense()
    for layer in run.plan.layers:
        if layer.rank is not None:
            bias = linear_layer(model, layer.name).bias is not None
            thin = LowRankLinear(layer.in_features, layer.out_features, layer.rank, bias)
            replace_layer(model, layer.name, thin)
    load_model(model, run.folder(stage) / "model.safetensors")
    return model.to(run.device).eval()


def final_stage(run: Run) -> str:
    """The stage whose weights are the result."""
    return "factorize" if run.recipe.finetune.type == "none" else "finetune"
