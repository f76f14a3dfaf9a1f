from fastapi import APIRouter

from api.dependencies import Reader
from api.operations import READ_CODES, example, page_of
from api.pagination import Page
from api.presets.schemas import EXAMPLE, Preset
from api.problems import refusals
from core.recipe.presets import PRESETS

router = APIRouter(prefix="/v1/presets", tags=["presets"])


@router.get("", responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES))
def list_presets(caller: Reader) -> Page[Preset]:
    """Every preset, with the fields that a recipe takes from it."""
    return Page.of([Preset.of(name) for name in PRESETS])
