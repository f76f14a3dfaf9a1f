"""A project's one token for private models and datasets of the hub."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.hub_token.schemas import HubToken
from core.database.identifiers import new_id
from core.database.tables import HubToken as HubTokenTable
from core.hub.tokens import encrypt
from core.settings import Settings


def store(session: Session, project_id: str, token: str, settings: Settings) -> HubToken:
    """In the place of any earlier one."""
    forget(session, project_id)
    row = HubTokenTable(id=new_id("ht"), project_id=project_id, encrypted=encrypt(token, settings))
    session.add(row)
    session.flush()
    return HubToken(is_set=True, created_at=row.created_at)


def state(session: Session, project_id: str) -> HubToken:
    query = select(HubTokenTable.created_at).where(HubTokenTable.project_id == project_id)
    created_at = session.scalar(query)
    return HubToken(is_set=created_at is not None, created_at=created_at)


def forget(session: Session, project_id: str) -> None:
    session.execute(delete(HubTokenTable).where(HubTokenTable.project_id == project_id))
