"""A recipe that was put together from parts: validated as strictly as one that was sent whole."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from api.pointers import Pointers
from api.problems import Problem
from core.recipe import Recipe

POINTERS = Pointers(Recipe)


def assembled(content: dict[str, Any], source: Callable[[str], str]) -> Recipe:
    """`source` tells which field of what was sent a field of the recipe comes from.

    Raises:
        Problem: invalid_recipe, told of the fields that were sent.
    """
    try:
        return Recipe.model_validate_json(json.dumps(content))
    except ValidationError as error:
        own = [
            each.model_copy(update={"pointer": source(each.pointer or "")})
            for each in POINTERS.errors(error)
        ]
    detail = "; ".join(f"{each.pointer}: {each.detail}" for each in own)
    raise Problem("invalid_recipe", detail, errors=own)
