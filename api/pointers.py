"""From pydantic's error locations to JSON pointers of the body that was sent.

Pydantic's locations carry the tag of each union on the way. Whether a segment is such a tag is
read off the model's JSON schema: behind a discriminator, the next segment names the variant.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.problems import FieldError

Location = tuple[int | str, ...]

IN_JSON = {
    "dict_type": ("dict_type", "Input should be an object"),
    "model_attributes_type": ("dict_type", "Input should be an object"),
    "list_type": ("list_type", "Input should be an array"),
    "tuple_type": ("tuple_type", "Input should be an array"),
}
"""Code and detail where pydantic speaks of Python: a validator had looked at the content before."""


class Pointers:
    """Names the fields of one model."""

    def __init__(self, model: type[BaseModel]):
        self.model = model

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Made with the first error: starting up does not wait for it."""
        return self.model.model_json_schema()

    def errors(self, error: ValidationError) -> list[FieldError]:
        found = error.errors(include_url=False, include_input=False)
        return [self._field_error(one) for one in found if not _follows_from_another(one, found)]

    def pointer(self, location: Location) -> str:
        """RFC 6901, free of union tags."""
        return "".join(f"/{escaped(segment)}" for segment in self._segments(location))

    def _field_error(self, error: ErrorDetails) -> FieldError:
        context = error.get("ctx", {})
        pointer = self.pointer(error["loc"])
        if error["type"] == "refused":
            pointer += context["pointer"]
        if error["type"].startswith("union_tag_"):
            pointer += f"/{context['discriminator'].strip(chr(39))}"
        code, detail = IN_JSON.get(error["type"], (error["type"], error["msg"]))
        return FieldError(pointer=pointer, detail=detail, code=code)

    def _segments(self, location: Location) -> Iterator[int | str]:
        node = self._resolved(self.schema)
        for segment in location:
            if "discriminator" in node:
                node = self._resolved({"$ref": node["discriminator"]["mapping"][segment]})
                continue
            if segment == "[key]" and not _has_children(node):
                continue
            yield segment
            node = self._resolved(_child(node, segment))

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while reference := node.get("$ref"):
            node = self.schema["$defs"][reference.rsplit("/", 1)[1]]
        return node


def _follows_from_another(error: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """A default that others hindered, or a list counted too short without its bad items."""
    if error["type"] == "default_factory_not_called":
        return True
    own = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(own) and other["loc"][: len(own)] == own for other in found
    )


def escaped(segment: int | str) -> str:
    return str(segment).replace("~", "~0").replace("/", "~1")


def _has_children(node: dict[str, Any]) -> bool:
    return any(name in node for name in ("properties", "patternProperties", "items"))


def _child(node: dict[str, Any], segment: int | str) -> dict[str, Any]:
    """The schema of a member; empty for one that the schema does not know."""
    if isinstance(segment, int):
        items: dict[str, Any] = node.get("items", {})
        return items
    properties: dict[str, dict[str, Any]] = node.get("properties", {})
    patterns: dict[str, dict[str, Any]] = node.get("patternProperties", {})
    return properties.get(segment) or next(iter(patterns.values()), {})
