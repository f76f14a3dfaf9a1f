"""What the documentation of most operations has in common."""

from typing import Any

from pydantic import BaseModel

READ_CODES = (
    "unauthorized",
    "missing_scope",
    "invalid_parameter",
    "invalid_address",
    "rate_limited",
    "database_away",
)
"""Every read may end in these."""
WRITE_CODES = (*READ_CODES, "idempotency_in_flight", "idempotency_key_reused")
"""Every POST may, too."""
BODY_CODES = ("invalid_json", "too_large", "unsupported_media_type", "invalid_body")
"""And one with a JSON body."""
STORAGE_CODES = ("storage_unavailable", "storage_full")
"""And what reads or writes files; a bucket's may need room for a local copy."""
RECIPE_CODES = (
    *BODY_CODES,
    "invalid_recipe",
    "recipe_refused",
    "model_refused",
    "data_refused",
    "budget_below_floor",
    "hub_away",
    *STORAGE_CODES,
)


def request_body(
    model: type[BaseModel], *others: str, optional: bool = False, **examples: Any
) -> dict[str, Any]:
    """The `openapi_extra` of an operation that reads its JSON body itself; see JsonBody."""
    media = {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    content = dict.fromkeys(("application/json", *others), media)
    return {"requestBody": {"required": not optional, "content": content}}


def example(value: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that answers such JSON."""
    return {status: {"content": {"application/json": {"example": value}}}}


def page_of(*items: Any, next_cursor: str | None = None) -> dict[str, Any]:
    return {
        "object": "list",
        "data": list(items),
        "has_more": next_cursor is not None,
        "next_cursor": next_cursor,
    }
