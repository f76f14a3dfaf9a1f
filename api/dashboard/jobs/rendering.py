"""One job's page inside its frame."""

from typing import Any, get_args

from fastapi.responses import HTMLResponse

from api.dashboard.jobs.frame import JobFrame
from api.dashboard.pages import render
from api.dashboard.session import Viewer
from core.database.states import JobState
from core.recipe.events import Event

EVENT_TYPES = (
    *(event.model_fields["type"].default for event in get_args(get_args(Event)[0])),
    *(f"job.{state}" for state in JobState),
    *("job.pausing", "job.cancelling", "job.changed"),
)
"""What a page listens for; a browser hears no event that it has not named."""


def render_job(template: str, viewer: Viewer, frame: JobFrame, **content: Any) -> HTMLResponse:
    return render(
        template,
        frame=frame,
        csrf=viewer.csrf,
        may_submit=viewer.may_submit,
        event_types=EVENT_TYPES,
        **content,
    )
