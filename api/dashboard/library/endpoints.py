from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.dashboard.library.view import dataset_lines, model_lines
from api.dashboard.pages import PageRoute, render
from api.dashboard.session import SignedIn
from api.datasets import service as datasets
from api.dependencies import CurrentSettings, CurrentStorage, Reading
from api.models import service as models
from api.pagination import PageRequest
from core.database.tables import now

MOST_ROWS = PageRequest(limit=100)

router = APIRouter(prefix="/dashboard/library", route_class=PageRoute, include_in_schema=False)


@router.get("")
def show_library(
    request: Request,
    viewer: SignedIn,
    reading: Reading,
    storage: CurrentStorage,
    settings: CurrentSettings,
) -> HTMLResponse:
    project_id = viewer.caller.project_id
    found = models.listed(reading, project_id, MOST_ROWS, storage, settings)
    return render(
        "library.html",
        datasets=dataset_lines(datasets.listed(reading, project_id, MOST_ROWS).rows, now()),
        models=model_lines(found.rows, now()),
        csrf=viewer.csrf,
        address=str(request.base_url).rstrip("/"),
    )
