"""Recipes by name: what a recipe with `"preset": …` takes where it says nothing itself.

`papers/…` are the papers' own pipelines, as far as they are public; the others are what measured
best here (benchmarks/RESULTS.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PresetName = Literal[
    "papers/fwsvd",
    "papers/tfwsvd",
    "papers/rankdyna",
    "papers/lpaf",
    "best-no-training",
    "best-quality",
    "fast",
]


@dataclass(frozen=True)
class Preset:
    summary: str
    fields: Mapping[str, Any]
    """Of a recipe, as JSON has them."""

    @property
    def method(self) -> str:
        tag: str = self.fields["method"]["type"]
        return tag


UNIFORM = {"type": "uniform"}
PLAIN = {"type": "plain", "epochs": 3, "batch_size": 32, "learning_rate": 2e-5}
REFIT = {"type": "sequential", "granularity": "layer"}

PRESETS: Mapping[PresetName, Preset] = {
    "papers/fwsvd": Preset(
        "Fisher-weighted SVD on the task model at uniform ranks, then fine-tuning.",
        {"method": {"type": "fwsvd"}, "allocation": UNIFORM, "finetune": PLAIN},
    ),
    "papers/tfwsvd": Preset(
        "Element-wise Fisher weights by the paper's Adam, then SGD; uniform ranks, fine-tuning.",
        {
            "method": {"type": "tfwsvd", "optimizer": "adam_sgd"},
            "allocation": UNIFORM,
            "finetune": PLAIN,
        },
    ),
    "papers/rankdyna": Preset(
        "Ranks found across layers in one round of fine-tuning of the pre-trained model.",
        {
            "method": {"type": "rankdyna", "training": {"epochs": 6}},
            "allocation": UNIFORM,
            "finetune": {"type": "none"},
        },
    ),
    "papers/lpaf": Preset(
        "First-order pruning, sparsity-aware SVD, mixed-rank fine-tuning.",
        {
            "method": {"type": "lpaf"},
            "allocation": UNIFORM,
            "finetune": {"type": "mixed_rank"},
        },
    ),
    "best-no-training": Preset(
        "Two-sided Kronecker Fisher, ranks by spectra, every layer refitted to its real inputs.",
        {
            "method": {"type": "kfac"},
            "allocation": {"type": "spectrum"},
            "refit": REFIT,
            "finetune": {"type": "none"},
        },
    ),
    "best-quality": Preset(
        "The same, then distillation from the dense model.",
        {
            "method": {"type": "kfac"},
            "allocation": {"type": "spectrum"},
            "refit": REFIT,
            "finetune": {"type": "distill", "epochs": 3},
        },
    ),
    "fast": Preset(
        "Two-sided Kronecker Fisher of 256 rows, ranks by spectra, nothing trained or refitted.",
        {
            "method": {"type": "kfac"},
            "calibration": {"rows": 256},
            "allocation": {"type": "spectrum"},
            "finetune": {"type": "none"},
        },
    ),
}


def completed(recipe: Any) -> Any:
    """A recipe's content with its preset's fields where it has none of its own."""
    named = recipe.get("preset") if isinstance(recipe, dict) else None
    found = next((preset for name, preset in PRESETS.items() if name == named), None)
    return recipe if found is None else {**found.fields, **recipe}
