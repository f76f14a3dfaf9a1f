"""The base of every part of a recipe: strict, closed, immutable."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


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
