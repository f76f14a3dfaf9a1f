from fastapi import APIRouter

from api.dependencies import Reader
from api.methods import service
from api.methods.schemas import EXAMPLE, Method
from api.operations import READ_CODES, example, page_of
from api.pagination import Page
from api.problems import refusals

router = APIRouter(prefix="/v1/methods", tags=["methods"])


@router.get("", responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES))
def list_methods(caller: Reader) -> Page[Method]:
    """Every compression method, with the JSON schema of its options."""
    return Page.of(service.all_methods())


@router.get("/{type}", responses=example(EXAMPLE) | refusals(*READ_CODES, "not_found"))
def get_method(caller: Reader, type: str) -> Method:
    """One compression method."""
    return service.method(type)
