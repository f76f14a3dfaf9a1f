"""Recipes, and parts of them, that the tests begin with."""

from typing import Any

FULL: dict[str, Any] = {
    "name": "sentiment-30",
    "labels": {"team": "search"},
    "limits": {"max_runtime_s": 600},
    "model": {"type": "path", "path": "models/bert"},
    "task": {
        "type": "text-classification",
        "dataset": {"type": "upload", "id": "ds_" + "a" * 26},
        "text": "premise",
        "text_pair": "hypothesis",
        "label": "label",
        "max_length": 64,
        "splits": {
            "seed": 3,
            "train": 0.7,
            "validation": 0.1,
            "test": 0.2,
            "max_rows": {"train": 9},
        },
    },
    "adapt": "always",
    "adaptation": {"epochs": 1, "learning_rate": 3e-5},
    "calibration": {"rows": None, "fisher": "true"},
    "method": {"type": "kfac", "output_damping": 0.2},
    "budget": {"type": "params", "value": 1000, "scope": "model"},
    "allocation": {"type": "spectrum", "min_rank": 2, "keep_dense": ["a.b"]},
    "refit": {"type": "sequential", "rows": 64, "granularity": "layer"},
    "finetune": {"type": "distill", "epochs": 1, "temperature": 4.0},
    "evaluation": {"confidence": 0.9},
    "exports": ["safetensors", "dense"],
    "seed": 3,
}

EVERYTHING = {"type": "keep_ratio", "value": 1}
FOUND = {"type": "rankdyna"}
PRUNED = {"type": "lpaf", "pruning": {"keep_ratio": 0.1}}
MIXED = {"type": "mixed_rank"}
