"""The OpenAPI document is whole, its examples are true, and /docs needs nothing from elsewhere."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.app import ROUTERS
from api.artifacts.schemas import LinkWanted
from api.jobs.examples import RECIPES
from api.jobs.schemas import JobChanges
from api.keys.schemas import ApiKeyCreate
from api.problems import KINDS, ProblemDetails
from core.recipe import Recipe
from core.settings import REPOSITORY
from tests.api.conftest import Api

OPEN = {"/healthz", "/readyz"}
ROUTES = [
    route
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and route.include_in_schema
]


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for member in node.values():
            yield from references(member)
    elif isinstance(node, list):
        for member in node:
            yield from references(member)


def test_the_document_is_openapi_3_1_and_every_reference_resolves(
    document: dict[str, Any],
) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    for reference in set(references(document)):
        root, *names = reference.split("/")
        assert root == "#"
        node = document
        for name in names:
            node = node[name]
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_every_operation_has_a_description_examples_and_error_schemas(
    document: dict[str, Any],
) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["description"], where
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            if status.startswith("2") and status != "204":
                assert all("example" in media for media in content.values()), where
                assert content, where
            elif status >= "400" and path not in OPEN:
                schema = content["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, where
                assert content["application/problem+json"]["examples"], where
        if path not in OPEN:
            assert operation["security"] == [{"ApiKey": []}], where
            assert {"401", "403"} <= operation["responses"].keys(), where
        for media in operation.get("requestBody", {}).get("content", {}).values():
            assert "examples" in media or "example" in media, where


def test_every_post_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("Idempotency-Key" in names) == (method == "post"), path


@pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
def test_examples_of_answers_fit_their_schemas(route: APIRoute) -> None:
    if route.response_model is None:
        assert route.status_code == 204 or route.name.endswith("_artifact")
        return
    (answer,) = (a for status, a in route.responses.items() if str(status).startswith("2"))
    route.response_model.model_validate(answer["content"]["application/json"]["example"])


def test_examples_of_requests_are_accepted(document: dict[str, Any]) -> None:
    for recipe in RECIPES.values():
        Recipe.model_validate_json(json.dumps(recipe))
    bodies: dict[tuple[str, str], type[BaseModel]] = {
        ("/v1/api-keys", "post"): ApiKeyCreate,
        ("/v1/jobs/{job_id}", "patch"): JobChanges,
        ("/v1/jobs/{job_id}/artifacts/{name}/link", "post"): LinkWanted,
    }
    for (path, method), model in bodies.items():
        for media in document["paths"][path][method]["requestBody"]["content"].values():
            for sample in media["examples"].values():
                model.model_validate_json(json.dumps(sample["value"]))


def test_examples_of_problems_are_problems(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            media = answer.get("content", {}).get("application/problem+json", {})
            for code, sample in media.get("examples", {}).items():
                problem = ProblemDetails.model_validate(sample["value"])
                assert (problem.code, problem.status) == (code, KINDS[code].status)


def test_the_reference_page_is_complete_and_loads_nothing_from_elsewhere(
    api: Api, document: dict[str, Any]
) -> None:
    answer = api.http.get("/docs")
    assert answer.status_code == 200
    assert "<script" not in answer.text
    loaded = re.findall(r'(?:src|href)="([^"#]+)', answer.text)
    assert all(address.startswith("/") and address[1:2] != "/" for address in loaded)
    for _, _, operation in operations(document):
        assert f'id="{operation["operationId"]}"' in answer.text
    for code in KINDS:
        assert f'id="{code}"' in answer.text
    assert api.http.get("/docs/reference.css").headers["content-type"].startswith("text/css")


def test_the_guide_names_every_address(document: dict[str, Any]) -> None:
    guide = (REPOSITORY / "docs" / "api.md").read_text()
    assert [path for path in document["paths"] if path not in guide] == []


def test_every_answer_carries_the_security_headers(api: Api) -> None:
    for route in ("/healthz", "/docs", "/openapi.json", "/nothing", "/v1/jobs", "/v1/methods"):
        headers = api.get(route).headers
        assert headers["x-content-type-options"] == "nosniff", route
        assert "frame-ancestors 'none'" in headers["content-security-policy"], route
        assert headers["x-request-id"], route
        assert "access-control-allow-origin" not in headers, route
    preflight = api.http.options("/v1/jobs", headers={"Origin": "https://example.org"})
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers
