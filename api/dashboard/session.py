"""Sign-in: an API key is exchanged for a signed cookie, which only the dashboard's pages take.

The REST routes know no cookie, so no page elsewhere can make a browser write through them. Each
request looks its key up again: revoking the key ends the session.
"""

import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Form, Request, Response

from api.dashboard.refusals import foreign_form
from api.dependencies import Caller
from api.keys.service import is_usable
from api.signing import CurrentSigner, Signer
from core.database.tables import ApiKey
from core.keys import implied

SESSION_COOKIE = "rankwise_session"
SIGN_IN_COOKIE = "rankwise_sign_in"
COOKIE_PATH = "/dashboard"
LIFETIME = timedelta(hours=12)


class SignInNeeded(Exception):
    """No session, or one that is over; the answer leads to the sign-in page."""


@dataclass(frozen=True)
class Viewer:
    """Who looks at a page."""

    caller: Caller
    csrf: str
    """Goes into every form of this session, and must come back with it."""

    @property
    def may_submit(self) -> bool:
        return "submit" in self.caller.scopes

    @property
    def is_admin(self) -> bool:
        return "admin" in self.caller.scopes


def signed_in(request: Request, signer: CurrentSigner) -> Viewer:
    token = request.cookies.get(SESSION_COOKIE, "")
    key_id = key_of(signer, token, time.time())
    with request.app.state.read_sessions() as session:
        row = session.get(ApiKey, key_id) if key_id else None
    if row is None or not is_usable(row):
        raise SignInNeeded
    caller = Caller(row.project_id, row.id, implied(row.scopes))
    return Viewer(caller, signer.signature("form", token))


SignedIn = Annotated[Viewer, Depends(signed_in)]
FormToken = Annotated[str, Form(max_length=200)]


def form_of(viewer: SignedIn, csrf: FormToken = "") -> Viewer:
    """The viewer whose own page sent this form."""
    if not hmac.compare_digest(viewer.csrf.encode(), csrf.encode()):
        raise foreign_form()
    return viewer


SentForm = Annotated[Viewer, Depends(form_of)]


def session_token(signer: Signer, key_id: str, now: float) -> str:
    """<key id>.<when it ends>.<random>.<signature>"""
    ends = int(now + LIFETIME.total_seconds())
    content = f"{key_id}.{ends}.{secrets.token_hex(8)}"
    return f"{content}.{signer.signature('session', content)}"


def key_of(signer: Signer, token: str, now: float) -> str | None:
    """The id of the key that a session belongs to; None for a session that is over or forged."""
    content, _, signature = token.rpartition(".")
    if not signer.agrees("session", content, signature):
        return None
    key_id, ends, _ = content.split(".")
    return key_id if now < int(ends) else None


def start(response: Response, request: Request, signer: Signer, key_id: str) -> None:
    _set(response, request, SESSION_COOKIE, session_token(signer, key_id, time.time()), LIFETIME)
    response.delete_cookie(SIGN_IN_COOKIE, path=COOKIE_PATH)


def end(response: Response) -> None:
    response.delete_cookie(SESSION_COOKIE, path=COOKIE_PATH)


def offer_sign_in(response: Response, request: Request, nonce: str) -> None:
    """The cookie half of the sign-in form's token; the other half is signed into the form."""
    _set(response, request, SIGN_IN_COOKIE, nonce, timedelta(hours=1))


def sign_in_form_is_ours(request: Request, signer: Signer, csrf: str) -> bool:
    nonce = request.cookies.get(SIGN_IN_COOKIE, "")
    return bool(nonce) and signer.agrees("sign-in", nonce, csrf)


def _set(response: Response, request: Request, name: str, value: str, lifetime: timedelta) -> None:
    response.set_cookie(
        name,
        value,
        max_age=int(lifetime.total_seconds()),
        path=COOKIE_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
