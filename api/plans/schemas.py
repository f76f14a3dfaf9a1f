from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.planning.durations import TimeRange
from core.planning.plan import Plan
from core.planning.resources import Resources

Basis = Literal["shape-only", "cached-spectra"]


class Floor(BaseModel):
    """The least that this model can be brought to: every layer at its lowest rank."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    target_params: int
    target_keep_ratio: float
    model_params: int
    model_keep_ratio: float


class DryRun(BaseModel):
    """What a recipe would do, without doing it."""

    model_config = ConfigDict(use_attribute_docstrings=True, title="Plan")

    object: Literal["plan"] = "plan"
    basis: Basis
    """`cached-spectra`: from an earlier job's statistics of this model, data and method; the plan
    is the one a job would make. `shape-only`: from tensor shapes, nothing predicted."""
    keep_ratio: float
    """Of the target layers' parameters."""
    plan: Plan
    resources: Resources
    time: TimeRange | None
    """From how long jobs took here before; null until three have finished, and where the number of
    rows is not known."""
    floor: Floor
    notes: list[str]


EXAMPLE: dict[str, Any] = {
    "object": "plan",
    "basis": "cached-spectra",
    "keep_ratio": 0.2997,
    "plan": {
        "layers": [
            {
                "name": "bert.encoder.layer.0.attention.self.query",
                "out_features": 384,
                "in_features": 384,
                "rank": 57,
                "params_before": 147456,
                "params_after": 43776,
                "retained_energy": 0.981,
                "predicted_loss_increase": 0.0021,
            }
        ],
        "target_params_before": 10616832,
        "target_params_after": 3182592,
        "model_params_before": 22713216,
        "model_params_after": 15278976,
        "predicted_loss_increase": 0.041,
    },
    "resources": {
        "model_bytes_before": 90852864,
        "model_bytes_after": 61115904,
        "target_flops_per_token_before": 21233664,
        "target_flops_per_token_after": 6365184,
        "statistics_bytes": 42467328,
        "activation_bytes": 905969664,
        "peak_bytes": 2359615488,
        "flops": 189000000000000,
        "time_class": "hours",
    },
    "time": {"low_s": 310.0, "high_s": 540.0, "jobs": 12},
    "floor": {
        "target_params": 46080,
        "target_keep_ratio": 0.0043,
        "model_params": 12142464,
        "model_keep_ratio": 0.5346,
    },
    "notes": ["the predicted increase ranks choices; as a number it is several times too low"],
}
