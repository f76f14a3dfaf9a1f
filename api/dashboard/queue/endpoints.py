from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.dashboard.pages import PageRoute, render
from api.dashboard.queue.view import queue_lines, total_words, worker_lines
from api.dashboard.session import SignedIn
from api.dependencies import Reading
from core.database.tables import now

router = APIRouter(prefix="/dashboard/queue", route_class=PageRoute, include_in_schema=False)


@router.get("")
def show_queue(viewer: SignedIn, reading: Reading) -> HTMLResponse:
    workers = worker_lines(reading, viewer.caller.project_id, now())
    queues = queue_lines(reading, viewer.caller.project_id, now())
    return render(
        "queue.html",
        workers=workers,
        queues=queues,
        total=total_words(workers, queues),
        csrf=viewer.csrf,
    )
