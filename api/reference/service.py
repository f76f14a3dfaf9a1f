"""The reference page, rendered from the OpenAPI document and the table of problems."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.problems import KINDS

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def kind(schema: dict[str, Any]) -> str:
    """A parameter's type in a word or two."""
    if "anyOf" in schema:
        return " or ".join(kind(variant) for variant in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    return str(schema.get("format", schema.get("type", "any")))


templates.filters |= {"pretty": pretty, "kind": kind}


def page(document: dict[str, Any]) -> str:
    return templates.get_template("reference.html").render(
        document=document, operations=operations(document), kinds=KINDS
    )


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every operation with its method and path, in the order of the document."""
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
