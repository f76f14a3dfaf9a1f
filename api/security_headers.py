"""The outermost layer: a request id, an answer to what no one caught, headers on every answer."""

import re
import secrets
import traceback

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, answer

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
}
DEFAULTS = {"Cache-Control": "no-store"}
"""Set where the endpoint has not said otherwise."""

GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

log = structlog.get_logger(__name__)


class SecurityHeaders:
    """ASGI middleware; the request id is in `request.state.request_id` and X-Request-Id."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                exchange.refuse_null_characters()
                await self.app(scope, receive, exchange.send)
            except Problem as problem:
                await answer(problem, exchange.request_id)(scope, receive, exchange.send)
            except Exception:
                exchange.log_failure()
                if exchange.started:
                    raise
                failure = Problem("internal_error", "the service's log has this request's id")
                await answer(failure, exchange.request_id)(scope, receive, exchange.send)


class _Exchange:
    """One request and what has been sent of its answer."""

    def __init__(self, scope: Scope, send: Send):
        self.scope = scope
        self._send = send
        self.started = False
        given = Headers(scope=scope).get("x-request-id", "")
        self.request_id = given if GIVEN_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = self.request_id

    def refuse_null_characters(self) -> None:
        """No database takes them, so no name holds one."""
        parameters = Request(self.scope).query_params.multi_items()
        if any("\0" in text for text in (self.scope["path"], *(t for p in parameters for t in p))):
            raise Problem("invalid_address", "the address holds a null character")

    def log_failure(self) -> None:
        """The plain traceback: a rich one shows local variables, among them the caller's key."""
        where = {"method": self.scope["method"], "path": self.scope["path"]}
        log.error("request failed", **where, traceback=traceback.format_exc())

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.request_id
            headers.update(ALWAYS)
            for name, value in DEFAULTS.items():
                headers.setdefault(name, value)
        await self._send(message)
