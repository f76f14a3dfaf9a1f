"""Every refusal as RFC 9457 problem+json, and the one table of their codes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from core.errors import CompressionError
from core.storage.disk import is_full
from core.storage.storage import StorageFull, StorageUnavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


class Kind(NamedTuple):
    status: int
    title: str


KINDS = {
    "invalid_json": Kind(400, "The body is not JSON"),
    "invalid_cursor": Kind(400, "The cursor is not one of ours"),
    "invalid_range": Kind(416, "The range lies outside the file"),
    "invalid_multipart": Kind(400, "The body is not a multipart form"),
    "invalid_address": Kind(400, "The address holds a character that no name has"),
    "unauthorized": Kind(401, "A valid API key is needed"),
    "missing_scope": Kind(403, "The API key lacks a scope"),
    "link_refused": Kind(403, "The link is over, or not as it was given out"),
    "not_found": Kind(404, "There is no such thing"),
    "method_not_allowed": Kind(405, "This address does not take that method"),
    "illegal_transition": Kind(409, "The job's state does not allow this"),
    "field_fixed": Kind(409, "The field can no longer change"),
    "job_in_use": Kind(409, "An unfinished job needs this job's result"),
    "too_many_endpoints": Kind(409, "The project has as many webhook endpoints as it may have"),
    "sweep_unfinished": Kind(409, "A job of the sweep is not over"),
    "dataset_in_use": Kind(409, "An unfinished job reads this dataset"),
    "model_in_use": Kind(409, "An unfinished job uses this model"),
    "idempotency_in_flight": Kind(409, "The first request with this key is still at work"),
    "artifact_gone": Kind(410, "The file is no longer stored"),
    "too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The body has the wrong content type"),
    "invalid_parameter": Kind(422, "A parameter of the request is not valid"),
    "invalid_recipe": Kind(422, "The recipe is not valid"),
    "invalid_body": Kind(422, "The body is not valid"),
    "idempotency_key_reused": Kind(422, "This key was used with another request"),
    "recipe_refused": Kind(422, "The recipe asks for what cannot be given"),
    "model_refused": Kind(422, "The model cannot be used"),
    "data_refused": Kind(422, "The data cannot be used"),
    "budget_below_floor": Kind(422, "The budget is below the floor"),
    "queue_full": Kind(429, "The project has as many waiting jobs as it may have"),
    "rate_limited": Kind(429, "The API key asks too often"),
    "too_many_watchers": Kind(503, "Too many event streams are open"),
    "database_away": Kind(503, "The database does not answer"),
    "storage_unavailable": Kind(503, "The storage does not answer"),
    "storage_full": Kind(507, "There is no room left to store it"),
    "hub_away": Kind(503, "The hub does not answer"),
    "internal_error": Kind(500, "The service failed"),
}
"""Code → HTTP status and title; /docs lists them."""


class FieldError(BaseModel):
    """One thing to change."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str | None = None
    """JSON pointer (RFC 6901) of the field in the body."""
    parameter: str | None = None
    """Name of the query, path, header or form parameter, where the body is not to blame."""
    detail: str
    code: str
    hint: str | None = None
    """What would be right."""


class ProblemDetails(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(use_attribute_docstrings=True, title="Problem")

    type: str
    """Where the code is described."""
    title: str
    status: int
    detail: str
    code: str
    """Stable; what a program should look at."""
    errors: list[FieldError] = Field(default_factory=list)
    state: str | None = None
    """Of a job that does not allow what was asked of it."""
    allowed: list[str] | None = None
    """What may be asked of that job instead."""
    request_id: str


class Problem(Exception):
    """Raised anywhere below an endpoint; becomes the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        **members: Any,
    ):
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}
        self.members = members
        """Of the answer, where the code has some of its own."""


def not_found(noun: str, id: str) -> Problem:
    return Problem("not_found", f"there is no {noun} {id!r}")


def invalid_parameter(parameter: str, detail: str, hint: str | None = None) -> Problem:
    error = FieldError(parameter=parameter, detail=detail, code="invalid", hint=hint)
    return Problem("invalid_parameter", f"{parameter}: {detail}", errors=[error])


def invalid_field(pointer: str, detail: str, hint: str | None = None) -> Problem:
    error = FieldError(pointer=pointer, detail=detail, code="invalid", hint=hint)
    return Problem("invalid_body", f"{pointer}: {detail}", errors=[error])


def answer(problem: Problem, request_id: str) -> JSONResponse:
    kind = KINDS[problem.code]
    details = ProblemDetails(
        type=f"/docs#{problem.code}",
        title=kind.title,
        status=kind.status,
        detail=problem.detail,
        code=problem.code,
        errors=problem.errors,
        request_id=request_id,
        **problem.members,
    )
    return JSONResponse(
        details.model_dump(exclude_none=True),
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that can end in these problems."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {status: _documented(named) for status, named in by_status.items()}


def _documented(codes: list[str]) -> dict[str, Any]:
    examples = {code: {"value": _example(code)} for code in codes}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "; ".join(KINDS[code].title for code in codes),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }


def _example(code: str) -> dict[str, Any]:
    kind = KINDS[code]
    return {
        "type": f"/docs#{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.title.lower(),
        "code": code,
        "errors": [],
        "request_id": "req_5f0c3f6b8f1d4f5e",
    }


def install(app: FastAPI) -> None:
    """Every exception that a request can end in becomes a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(CompressionError, _on_compression_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameters)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(OperationalError, _on_database_away)
    app.add_exception_handler(StorageUnavailable, _on_storage_unavailable)
    app.add_exception_handler(OSError, _on_disk_failure)


def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return answer(error, request.state.request_id)


def _on_compression_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CompressionError)
    return answer(from_compression_error(error), request.state.request_id)


def from_compression_error(error: CompressionError) -> Problem:
    """What the recipe, the model or the data is refused for, as an answer."""
    code = error.code if error.code in KINDS else "recipe_refused"
    field = FieldError(
        pointer=error.pointer or "", detail=error.message, code=error.code, hint=error.hint
    )
    return Problem(code, error.message, errors=[field])


def _on_invalid_parameters(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(parameter=str(found["loc"][1]), detail=found["msg"], code=found["type"])
        for found in error.errors()
    ]
    named = ", ".join(dict.fromkeys(str(field.parameter) for field in errors))
    problem = Problem("invalid_parameter", f"not valid: {named}", errors=errors)
    return answer(problem, request.state.request_id)


def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """What the router itself refuses: an unknown address, a method that it does not take."""
    assert isinstance(error, HTTPException)
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    detail = f"{request.method} {request.url.path} is not served here"
    problem = Problem(code, detail, headers=dict(error.headers or {}))
    return answer(problem, request.state.request_id)


def _on_database_away(request: Request, error: Exception) -> JSONResponse:
    log.warning("database away", error=str(error))
    problem = Problem("database_away", "try again soon", headers={"Retry-After": "5"})
    return answer(problem, request.state.request_id)


def _on_storage_unavailable(request: Request, error: Exception) -> JSONResponse:
    log.warning("storage unavailable", error=str(error), cause=repr(error.__cause__))
    return answer(storage_problem(error), request.state.request_id)


def _on_disk_failure(request: Request, error: Exception) -> JSONResponse:
    """A disk that is full is named, wherever it was met: an upload is received on disk first."""
    assert isinstance(error, OSError)
    if not is_full(error):
        raise error
    return _on_storage_unavailable(request, StorageFull("the disk is full"))


def storage_problem(error: Exception) -> Problem:
    full = isinstance(error, StorageFull)
    code, wait_s = ("storage_full", 60) if full else ("storage_unavailable", 10)
    return Problem(code, f"{error}; try again later", headers={"Retry-After": str(wait_s)})
