from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.bodies import JsonBody, Received
from api.dependencies import Admin, CurrentSettings, Reading, Writing
from api.operations import BODY_CODES, READ_CODES, example, request_body
from api.problems import refusals
from api.retention import service
from api.retention.schemas import (
    POLICY_EXAMPLE,
    PREVIEW_EXAMPLE,
    Days,
    DaysOrNone,
    RetentionPolicy,
    RetentionPreview,
    RetentionView,
)
from core.jobs.retention import policy_of

router = APIRouter(prefix="/v1/retention", tags=["retention"])

WHERE_LEFT_OUT = "As the project's policy has it, where left out."


@router.get("", responses=example(POLICY_EXAMPLE) | refusals(*READ_CODES))
def get_retention(caller: Admin, session: Reading) -> RetentionView:
    """How long the project keeps artifacts, events, workspaces and cache entries."""
    return RetentionView.model_validate(policy_of(session, caller.project_id))


@router.put(
    "",
    responses=example(POLICY_EXAMPLE) | refusals(*READ_CODES, *BODY_CODES),
    openapi_extra=request_body(
        RetentionPolicy, three_months={"artifacts_days": 90, "events_days": 365}
    ),
)
def set_retention(
    caller: Admin,
    session: Writing,
    body: Annotated[Received[RetentionPolicy], Depends(JsonBody(RetentionPolicy))],
) -> RetentionView:
    """Set the whole policy: a field that is left out goes back to its default.

    It is acted on within minutes; a job labelled `retention: keep` is left alone. Ask
    `/v1/retention/preview` first what would go.
    """
    stored = service.store(session, caller.project_id, body.content.policy)
    return RetentionView.model_validate(stored)


@router.get("/preview", responses=example(PREVIEW_EXAMPLE) | refusals(*READ_CODES))
def preview_retention(
    caller: Admin,
    session: Reading,
    settings: CurrentSettings,
    artifacts_days: Annotated[Days | None, Query(description=WHERE_LEFT_OUT)] = None,
    events_days: Annotated[Days | None, Query(description=WHERE_LEFT_OUT)] = None,
    workspaces_days: Annotated[DaysOrNone | None, Query(description=WHERE_LEFT_OUT)] = None,
    cache_days: Annotated[Days | None, Query(description=WHERE_LEFT_OUT)] = None,
) -> RetentionPreview:
    """A dry run: what the policy, or another one, would drop now. Nothing is dropped."""
    asked = {
        "artifacts_days": artifacts_days,
        "events_days": events_days,
        "workspaces_days": workspaces_days,
        "cache_days": cache_days,
    }
    given: dict[str, Any] = {name: days for name, days in asked.items() if days is not None}
    policy = replace(policy_of(session, caller.project_id), **given)
    return service.preview(session, caller.project_id, policy, settings)
