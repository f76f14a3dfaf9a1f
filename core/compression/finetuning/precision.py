"""What a step is computed in: float32, or bfloat16 by autocast where the device is fast at it."""

from contextlib import AbstractContextManager, nullcontext

import torch

from core.recipe.training import Precision


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    """Of losses and their objective. Weights, gradients and moments stay float32, and bfloat16 has
    float32's range, so no loss needs scaling."""
    if why_not(precision, device) is not None or precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def why_not(precision: Precision, device: str) -> str | None:
    """Why this device computes in float32 all the same, in a sentence."""
    if precision == "float32":
        return None
    if not device.startswith("cuda"):
        return f"bfloat16 is for GPUs: on {device} everything is computed in float32."
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return "This GPU has no bfloat16: everything is computed in float32."
    return None
