"""A project's token for its hub: encrypted in the database, in clear only while it is used."""

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import encryption
from core.database.tables import HubToken
from core.settings import Settings

log = structlog.get_logger(__name__)


def encrypt(token: str, settings: Settings) -> str:
    return encryption.encrypt(token, "hub token", settings)


def project_token(session: Session, project_id: str, settings: Settings) -> str | None:
    """The project's token in clear; None where it has none that this service can read."""
    query = select(HubToken.encrypted).where(HubToken.project_id == project_id)
    encrypted = session.scalar(query)
    if encrypted is None:
        return None
    token = encryption.decrypt(encrypted, "hub token", settings)
    if token is None:
        log.warning("hub_token.unreadable", project_id=project_id, hint="RANKWISE_SECRET_KEY")
    return token
