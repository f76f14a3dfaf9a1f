"""The OpenAPI 3.1 document: FastAPI's own, with the bodies that endpoints read themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.artifacts.schemas import LinkWanted
from api.hub_token.schemas import HubTokenSet
from api.jobs.schemas import JobChanges
from api.keys.schemas import ApiKeyCreate
from api.problems import ProblemDetails
from api.retention.schemas import RetentionPolicy
from api.sweeps.schemas import Promotion
from api.webhook_endpoints.schemas import WebhookEndpointChanges, WebhookEndpointCreate
from core.recipe import Recipe
from core.recipe.sweep import SweepSpec

REFERENCE = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (
    *(Recipe, SweepSpec, Promotion, JobChanges),
    *(ApiKeyCreate, HubTokenSet, LinkWanted, RetentionPolicy),
    *(WebhookEndpointCreate, WebhookEndpointChanges),
)
DESCRIPTION = """
Rankwise compresses Transformer language models as jobs. Post a recipe to `/v1/jobs`, follow its
events, download the artifact. Every error is an RFC 9457 problem; every list comes in cursor pages;
every POST takes an `Idempotency-Key`.
""".strip()


def install(app: FastAPI) -> None:
    """Serve the finished document at the app's openapi_url, made once."""
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(finished(app))
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of extending it


def finished(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    schemas = document["components"]["schemas"]
    schemas |= _body_schemas()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Job"]["properties"]["recipe"] = {"$ref": REFERENCE.format(model="Recipe")}
    for operations in document["paths"].values():
        for operation in operations.values():
            _drop_foreign_errors(operation)
    return document


def _body_schemas() -> dict[str, Any]:
    models = [(model, "validation") for model in (*BODIES, ProblemDetails)]
    _, schema = models_json_schema(models, ref_template=REFERENCE)  # type: ignore[arg-type]
    definitions: dict[str, Any] = schema["$defs"]
    definitions["Problem"] = definitions.pop("ProblemDetails")
    return definitions


def _drop_foreign_errors(operation: dict[str, Any]) -> None:
    """FastAPI announces its own 422 wherever there are parameters; ours are problems."""
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):
        content = answers["422"]["content"]
        foreign = content["application/json"]["schema"].get("$ref", "")
        if foreign.endswith("HTTPValidationError"):
            del content["application/json"]
        if not content:
            del answers["422"]
