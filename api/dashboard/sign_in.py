"""Signing in and out, and the files that pages are made with."""

import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse

from api.dashboard import session
from api.dashboard.assets import ASSETS, KEPT
from api.dashboard.pages import HOME, SIGN_IN, PageRoute, render
from api.dashboard.refusals import foreign_form, not_found
from api.dashboard.session import FormToken, SentForm
from api.dependencies import CurrentSessions
from api.keys import service as keys
from api.signing import CurrentSigner, Signer

OWN_ADDRESS = re.compile(r"/dashboard(/[a-z-]{1,20}(/[A-Za-z0-9_]{1,64})?)?", re.ASCII)

router = APIRouter(
    prefix="/dashboard", route_class=PageRoute, include_in_schema=False, max_body_size=16_384
)


@router.get("/sign-in")
def show_sign_in(
    request: Request, signer: CurrentSigner, next: Annotated[str, Query(max_length=200)] = HOME
) -> HTMLResponse:
    return _sign_in_page(request, signer, next, refused=False)


@router.post("/sign-in")
def sign_in(
    request: Request,
    signer: CurrentSigner,
    sessions: CurrentSessions,
    key: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=200)] = HOME,
    csrf: FormToken = "",
) -> Response:
    if not session.sign_in_form_is_ours(request, signer, csrf):
        raise foreign_form()
    row = keys.authenticate(request.app.state.read_sessions, sessions, key.strip())
    if row is None:
        return _sign_in_page(request, signer, next, refused=True)
    response = RedirectResponse(_own_address(next), status.HTTP_303_SEE_OTHER)
    session.start(response, request, signer, row.id)
    return response


@router.post("/sign-out")
def sign_out(viewer: SentForm) -> RedirectResponse:
    response = RedirectResponse(SIGN_IN, status.HTTP_303_SEE_OTHER)
    session.end(response)
    return response


@router.get("/static/{name}")
def get_asset(name: str) -> Response:
    asset = ASSETS.get(name)
    if asset is None:
        raise not_found("file")
    return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": KEPT})


def _sign_in_page(request: Request, signer: Signer, next: str, *, refused: bool) -> HTMLResponse:
    nonce = secrets.token_hex(16)
    response = render(
        "sign_in.html",
        status.HTTP_401_UNAUTHORIZED if refused else status.HTTP_200_OK,
        csrf=signer.signature("sign-in", nonce),
        next=_own_address(next),
        refused=refused,
    )
    session.offer_sign_in(response, request, nonce)
    return response


def _own_address(next: str) -> str:
    """Where to go on after signing in: a page of ours, whatever the address asked for."""
    return next if OWN_ADDRESS.fullmatch(next) else HOME
