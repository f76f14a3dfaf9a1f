"""What a hub says no to, in the recipe's terms."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx2
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from core.errors import DataError, ModelError, RecipeError

Kind = Literal["model", "dataset"]

POINTERS = {"model": "/model", "dataset": "/task/dataset"}
TOKEN_HINT = "a private or gated one needs the project's token: PUT /v1/hub-token"


class ModelHubAway(ModelError):
    """The hub does not answer, or answers with nonsense; later it may."""

    code = "hub_away"
    retryable = True


class DatasetHubAway(DataError):
    """The hub does not answer, or answers with nonsense; later it may."""

    code = "hub_away"
    retryable = True


def refused(kind: Kind, field: str, message: str, hint: str | None = None) -> RecipeError:
    error = ModelError if kind == "model" else DataError
    return error(message, hint=hint, pointer=f"{POINTERS[kind]}/{field}")


def away(kind: Kind, detail: str) -> RecipeError:
    error = ModelHubAway if kind == "model" else DatasetHubAway
    return error(detail, hint="try again later", pointer=f"{POINTERS[kind]}/id")


@contextmanager
def answered(kind: Kind, id: str, revision: str | None) -> Iterator[None]:
    """The failures of a request to the hub, as refusals that name the field to change."""
    try:
        yield
    except RevisionNotFoundError as error:
        raise refused(kind, "revision", f"{id} has no revision {revision or 'main'!r}") from error
    except RepositoryNotFoundError as error:
        raise _unknown(kind, id) from error
    except HFValidationError as error:
        raise refused(kind, "id", "the hub has no such ids", "write it as name/name") from error
    except HfHubHTTPError as error:
        if error.response.status_code in {401, 403}:
            raise refused(kind, "id", f"the hub does not open {id!r}", TOKEN_HINT) from error
        if error.response.status_code == 404:
            raise _unknown(kind, id) from error
        raise away(kind, f"the hub answered {error.response.status_code}") from error
    except OfflineModeIsEnabled as error:
        raise away(kind, "this service is kept offline (HF_HUB_OFFLINE)") from error
    except httpx2.HTTPError as error:
        raise away(kind, f"the hub cannot be reached ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise away(kind, "what answers at the hub's address is no hub") from error


def _unknown(kind: Kind, id: str) -> RecipeError:
    return refused(kind, "id", f"the hub shows no {kind} {id!r}", f"check the name; {TOKEN_HINT}")
