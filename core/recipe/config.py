"""The base of every part of a recipe: strict, closed, immutable."""

from typing import Annotated, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Strict
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")

Array: TypeAlias = Annotated[tuple[Item, ...], Strict(strict=False)]
"""A JSON array of strict items. Where a validator has looked at the content first (a task or preset
by name), the array has become a list, which a strict tuple would not take."""


class Config(BaseModel):
    """A frozen, typed piece of a recipe.

    Unknown fields, coercions (``"0.3"`` for a number) and non-finite numbers are refused.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def refusal(pointer: str, message: str) -> PydanticCustomError:
    """An error about how fields fit together, named by the JSON pointer of the one to change.

    The pointer is relative to the config that raises it.
    """
    return PydanticCustomError("refused", "{message}", {"message": message, "pointer": pointer})
