"""How long a text a model can read: it has so many position embeddings, or was trained so far."""

from collections.abc import Mapping
from typing import Any

from core.errors import RecipeError

NAMES = ("max_position_embeddings", "n_positions")
"""In a config.json, by family."""
BEFORE_FIRST = dict.fromkeys(("roberta", "xlm-roberta", "camembert"), 2)
"""Position embeddings that no token uses."""


def longest_text(config: Mapping[str, Any]) -> int | None:
    """Tokens; None where the config tells no limit."""
    told = next((config[name] for name in NAMES if name in config), None)
    if type(told) is not int or told <= 0:
        return None
    return told - BEFORE_FIRST.get(str(config.get("model_type")), 0)


def refuse_longer(max_length: int, longest: int | None) -> None:
    """
    Raises:
        RecipeError: the task's texts may be longer than the model reads.
    """
    if longest is not None and max_length > longest:
        raise RecipeError(
            f"The model reads at most {longest} tokens.",
            hint=f"Set max_length to {longest} or less.",
            pointer="/task/max_length",
        )
