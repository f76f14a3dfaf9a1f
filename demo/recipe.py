"""The demo's recipe: MiniLM to at most 30 % of its encoder's linear weights."""

from typing import Any

from demo.assets import model_folder


def demo_recipe(dataset_id: str) -> dict[str, Any]:
    """Small enough for two cores, real enough to believe: 2,500 training and 1,500 test texts."""
    return {
        "name": "MiniLM sentiment at 30 %",
        "labels": {"from": "make demo"},
        "model": {"type": "path", "path": str(model_folder())},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "upload", "id": dataset_id},
            "max_length": 64,
            "splits": {"max_rows": {"train": 2500, "validation": 500, "test": 1500}},
        },
        "adaptation": {"epochs": 2, "batch_size": 16, "learning_rate": 1e-4},
        "method": {"type": "kfac"},
        "allocation": {"type": "spectrum"},
        "budget": {"type": "keep_ratio", "value": 0.3},
        "finetune": {"type": "distill", "epochs": 1, "batch_size": 16, "learning_rate": 2e-4},
    }
