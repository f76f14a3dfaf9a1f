"""The client of an S3-compatible store, and its failures in the storage's own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from core.settings import Settings
from core.storage.storage import StorageFull, StorageUnavailable

CONNECT_S = 3.0
SILENCE_S = 10.0
"""An answer, or the next bytes of one, may be so long in coming."""
TRIES = 3
QUICK_S = 1.0
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
NO_ROOM = frozenset(
    {"507", "InsufficientCapacity", "InsufficientStorage", "QuotaExceeded", "StorageFull"}
    | {"XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}
)


def make_client(settings: Settings, *, quick: bool = False) -> Any:
    """A client that may be shared by threads; a quick one gives up after a second.

    Every body is sent with its SHA-256 in the signed header, which any S3 store checks; the
    checksums that came later, which some stores do not know, are left out.
    """
    patience = {"connect_timeout": CONNECT_S, "read_timeout": SILENCE_S}
    if quick:
        patience = {"connect_timeout": QUICK_S, "read_timeout": QUICK_S}
    return botocore.session.Session().create_client(
        "s3",
        endpoint_url=settings.s3_endpoint or None,
        region_name=settings.s3_region or None,
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=settings.s3_secret_access_key or None,
        config=Config(
            **patience,
            retries={"mode": "standard", "total_max_attempts": 1 if quick else TRIES},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={
                "payload_signing_enabled": True,
                "addressing_style": "path" if settings.s3_endpoint else "auto",
            },
        ),
    )


@contextmanager
def answered(key: str | None = None) -> Iterator[None]:
    """FileNotFoundError where the key is missing; StorageUnavailable for all other failures."""
    try:
        yield
    except ClientError as error:
        raise _refused(error, key) from error
    except (BotoCoreError, HTTPClientError, HTTPError) as error:
        raise StorageUnavailable(
            f"the object store did not answer: {type(error).__name__}"
        ) from error


def _refused(error: ClientError, key: str | None) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if key is not None and code in MISSING:
        return FileNotFoundError(key)
    if code in NO_ROOM or status == 507:
        return StorageFull(f"the object store has no room: {code}")
    return StorageUnavailable(f"the object store refused {error.operation_name}: {code}")
