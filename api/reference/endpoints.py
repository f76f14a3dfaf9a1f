"""/docs: the OpenAPI document as a page, without a script and without a foreign host."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from api.reference import service

router = APIRouter(include_in_schema=False)

STYLESHEET = Path(__file__).with_name("reference.css")


@router.get("/docs")
def show_reference(request: Request) -> HTMLResponse:
    return HTMLResponse(service.page(request.app.openapi()))


@router.get("/docs/reference.css")
def show_stylesheet() -> FileResponse:
    return FileResponse(STYLESHEET, media_type="text/css")
