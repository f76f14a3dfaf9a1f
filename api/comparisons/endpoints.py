from typing import Annotated

from fastapi import APIRouter, Query

from api.comparisons import service
from api.comparisons.schemas import EXAMPLE, Comparison
from api.dependencies import Reader, Reading
from api.operations import READ_CODES, example
from api.problems import refusals

router = APIRouter(prefix="/v1/comparisons", tags=["jobs"])

LEAST, MOST = 2, 6
Compared = Annotated[
    list[str], Query(min_length=LEAST, max_length=MOST, description="Two to six ids.")
]


@router.get("", responses=example(EXAMPLE) | refusals(*READ_CODES, "not_found"))
def compare_jobs(caller: Reader, session: Reading, job: Compared) -> Comparison:
    """Jobs beside each other: where recipes differ, sizes, metrics, ranks."""
    return service.compare(session, caller.project_id, job)
