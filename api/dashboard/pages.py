"""Templates, and a route class whose refusals are pages too."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.dashboard.assets import ASSETS
from api.dashboard.refusals import Refused, invalid_address
from api.dashboard.session import SESSION_COOKIE, SignInNeeded
from api.problems import KINDS, Problem, storage_problem
from core.storage.storage import StorageUnavailable

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

HOME = "/dashboard"
SIGN_IN = f"{HOME}/sign-in"

templates = Environment(
    loader=PackageLoader("api.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.globals["assets"] = ASSETS


def render(template: str, status_code: int = 200, **content: Any) -> HTMLResponse:
    return HTMLResponse(templates.get_template(template).render(**content), status_code)


class PageRoute(APIRoute):
    """Who is not signed in is led to the sign-in page; what cannot be done is said on a page."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeeded:
                return _led_to_sign_in(request)
            except Refused as refused:
                return _refusal(refused)
            except RequestValidationError:
                return _refusal(invalid_address())
            except Problem as problem:
                return _problem_page(problem)
            except StorageUnavailable as error:
                return _problem_page(storage_problem(error))

        return handle_as_page


def _led_to_sign_in(request: Request) -> Response:
    """A link from another site comes without the strict cookie: the browser is asked once more."""
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        return HTMLResponse(templates.get_template("again.html").render(address=request.url.path))
    address = f"{SIGN_IN}?next={request.url.path}"
    response = RedirectResponse(address, status.HTTP_303_SEE_OTHER)
    if SESSION_COOKIE in request.cookies:
        response.delete_cookie(SESSION_COOKIE, path="/dashboard")
    return response


def _problem_page(problem: Problem) -> HTMLResponse:
    kind = KINDS[problem.code]
    return _refusal(Refused(kind.status, kind.title, problem.detail))


def _refusal(refused: Refused) -> HTMLResponse:
    return render("refused.html", refused.status_code, title=refused.title, detail=refused.detail)
