from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.recipe.presets import PRESETS, PresetName


class Preset(BaseModel):
    """A recipe by name: a job names it as `preset` and gives model, task and budget."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["preset"] = "preset"
    name: PresetName
    summary: str
    fields: dict[str, Any]
    """What a recipe takes from it where it says nothing itself."""

    @classmethod
    def of(cls, name: PresetName) -> "Preset":
        preset = PRESETS[name]
        return cls(name=name, summary=preset.summary, fields=dict(preset.fields))


EXAMPLE = Preset.of("best-no-training").model_dump(mode="json")
