"""A project's one token for private models and datasets of the hub."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.hub_token.schemas import HubToken
from core.database.identifiers import new_id
from core.database.tables import HubToken as HubTokenTable
from core.database.tables import now
from core.database.upsert import upsert
from core.hub.tokens import encrypt
from core.settings import Settings


def store(session: Session, project_id: str, token: str, settings: Settings) -> HubToken:
    """In the place of any earlier one."""
    row = {
        "id": new_id("ht"),
        "project_id": project_id,
        "encrypted": encrypt(token, settings),
        "created_at": now(),
    }
    upsert(session, HubTokenTable, row, keys=["project_id"])
    return HubToken(is_set=True, created_at=row["created_at"])


def state(session: Session, project_id: str) -> HubToken:
    query = select(HubTokenTable.created_at).where(HubTokenTable.project_id == project_id)
    created_at = session.scalar(query)
    return HubToken(is_set=created_at is not None, created_at=created_at)


def forget(session: Session, project_id: str) -> None:
    session.execute(delete(HubTokenTable).where(HubTokenTable.project_id == project_id))
