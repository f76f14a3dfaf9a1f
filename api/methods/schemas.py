import builtins
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.recipe.methods import METHOD_CONFIGS, MethodConfig


class Method(BaseModel):
    """A compression method: what it is, what it runs, what it can be told."""

    model_config = ConfigDict(use_attribute_docstrings=True, serialize_by_alias=True)

    object: Literal["method"] = "method"
    type: str
    """The tag that a recipe's `method` names it by."""
    title: str
    citation: str
    summary: str
    stages: list[str]
    loss_unit: bool
    """Whether its plans predict an increase of the loss."""
    json_schema: dict[str, Any] = Field(alias="schema")
    """JSON schema of a recipe's `method`."""

    @classmethod
    def of(cls, config: builtins.type[MethodConfig]) -> "Method":
        return cls(
            type=config.model_fields["type"].default,
            title=config.title,
            citation=config.citation,
            summary=config.summary,
            stages=list(config.stages),
            loss_unit=config.loss_unit,
            schema=config.model_json_schema(),
        )


EXAMPLE = Method.of(METHOD_CONFIGS["kfac"]).model_dump(mode="json")
