from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.comparisons import service
from api.comparisons.endpoints import Compared
from api.dashboard.compare.view import compare_page
from api.dashboard.pages import PageRoute, render
from api.dashboard.session import SignedIn
from api.dependencies import Reading

router = APIRouter(prefix="/dashboard/compare", route_class=PageRoute, include_in_schema=False)


@router.get("")
def compare_jobs(viewer: SignedIn, reading: Reading, job: Compared) -> HTMLResponse:
    found = service.compare(reading, viewer.caller.project_id, job)
    return render("compare.html", page=compare_page(found), csrf=viewer.csrf)
