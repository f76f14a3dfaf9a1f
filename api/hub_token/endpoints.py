from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.bodies import JsonBody, Received
from api.dependencies import Admin, CurrentSettings, Reading, Writing
from api.hub_token import service
from api.hub_token.schemas import EXAMPLE, HubToken, HubTokenSet
from api.operations import BODY_CODES, READ_CODES, example, request_body
from api.problems import refusals

router = APIRouter(prefix="/v1/hub-token", tags=["models"])


@router.put(
    "",
    responses=example(EXAMPLE) | refusals(*READ_CODES, *BODY_CODES),
    openapi_extra=request_body(HubTokenSet, read_only={"token": "hf_0123456789abcdef"}),
)
def set_hub_token(
    caller: Admin,
    session: Writing,
    settings: CurrentSettings,
    body: Annotated[Received[HubTokenSet], Depends(JsonBody(HubTokenSet))],
) -> HubToken:
    """Store the project's token for the hub, encrypted, in the place of any earlier one."""
    return service.store(session, caller.project_id, body.content.token, settings)


@router.get("", responses=example(EXAMPLE) | refusals(*READ_CODES))
def get_hub_token(caller: Admin, session: Reading) -> HubToken:
    """Whether a token is set, and since when. The token itself is never shown."""
    return service.state(session, caller.project_id)


@router.delete("", status_code=204, responses=refusals(*READ_CODES))
def delete_hub_token(caller: Admin, session: Writing) -> Response:
    """Forget the token. Where none is set that is no error."""
    service.forget(session, caller.project_id)
    return Response(status_code=204)
