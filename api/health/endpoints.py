from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.dependencies import CurrentSettings, CurrentStorage
from api.health import service
from api.health.schemas import NOT_READY, READY, Health, Readiness
from api.operations import example

router = APIRouter(tags=["health"])

NOT_READY_ANSWER: dict[str, Any] = {
    "model": Readiness,
    "description": "A part is missing; it is named.",
    **example(NOT_READY, 503)[503],
}


@router.get("/healthz", responses=example({"status": "ok"}))
def get_health() -> Health:
    """The process answers; nothing else is looked at."""
    return Health()


@router.get(
    "/readyz",
    response_model=Readiness,
    responses=example(READY) | {503: NOT_READY_ANSWER},
)
def get_readiness(
    request: Request, settings: CurrentSettings, storage: CurrentStorage
) -> JSONResponse:
    """The database answers, the storage can be used, the broker can be reached."""
    found = service.readiness(settings, request.app.state.read_sessions, storage)
    status = 200 if found.status == "ready" else 503
    return JSONResponse(found.model_dump(exclude_none=True), status)
