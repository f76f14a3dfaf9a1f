"""The form of a new job: what was chosen, as a recipe, and the same as words to copy."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from fastapi import Query

from core.recipe.presets import PRESETS
from core.recipe.recipe import Recipe
from core.recipe.sources import ModelSource

ROLES: dict[str, tuple[str, ...]] = {
    "text-classification": ("text", "label"),
    "regression": ("text", "label"),
    "causal-lm": ("text",),
    "embedding": ("text",),
}
"""Task types that the form knows, and the columns that each needs."""
USUAL_KEEP = 30.0
Short = Annotated[str, Query(max_length=300)]


@dataclass(frozen=True)
class Form:
    """As the browser sends it; empty where nothing is chosen yet."""

    model: Short = ""
    """`path:…`, `upload:…` or `job:…`."""
    hub: Short = ""
    """A hub's model, which goes before."""
    dataset: Short = ""
    task: Short = "text-classification"
    text: Short = ""
    label: Short = ""
    preset: Short = "best-no-training"
    keep: Annotated[float, Query(gt=0, le=100)] = USUAL_KEEP
    """Percent of the target layers' weights."""
    drop: Annotated[str, Query(pattern=r"^([0-9]+(\.[0-9]+)?)?$", max_length=12)] = ""
    """By how much the metric may be worse, in its own unit: goes before `keep`."""
    name: Annotated[str, Query(max_length=200)] = ""

    @property
    def is_whole(self) -> bool:
        """Enough is chosen for a plan."""
        return bool((self.model or self.hub) and self.dataset)

    def recipe(self) -> dict[str, Any]:
        return {
            **({"name": self.name} if self.name else {}),
            "preset": self.preset,
            "model": self._model(),
            "task": {
                "type": self.task,
                "dataset": {"type": "upload", "id": self.dataset},
                **self._columns(),
            },
            "budget": self._budget(),
        }

    def validated(self) -> Recipe:
        return Recipe.model_validate_json(json.dumps(self.recipe()))

    @property
    def is_searched(self) -> bool:
        """The size is what the job finds; no plan is known before."""
        return bool(self.drop)

    def _budget(self) -> dict[str, Any]:
        if self.is_searched:
            return {"type": "max_drop", "abs": float(self.drop)}
        return {"type": "keep_ratio", "value": round(self.keep / 100, 4)}

    def _model(self) -> dict[str, str]:
        if self.hub:
            return {"type": "hub", "id": self.hub}
        kind, _, where = self.model.partition(":")
        return {"type": kind, "path" if kind == "path" else "id": where}

    def _columns(self) -> dict[str, str]:
        chosen = {"text": self.text, "label": self.label}
        return {role: chosen[role] for role in ROLES.get(self.task, ()) if chosen[role]}


@dataclass(frozen=True)
class Copies:
    """The same job for a terminal, a program and a file."""

    curl: str
    python: str
    yaml: str


def copies(form: Form, address: str) -> Copies:
    recipe = form.recipe()
    as_json = json.dumps(recipe, indent=2, ensure_ascii=False)
    quoted = as_json.replace("'", "'\\''")
    return Copies(
        curl=f'curl -s -H "Authorization: Bearer $RANKWISE_KEY" \\\n'
        f"     -H \"Content-Type: application/json\" \\\n     {address}/v1/jobs -d '{quoted}'",
        python="import os\n\nfrom rankwise import Client\n\n"
        f'with Client("{address}", os.environ["RANKWISE_KEY"]) as rankwise:\n'
        f"    job = rankwise.submit({_indented(repr_of(recipe))})\n"
        '    job = rankwise.wait(job["id"])',
        yaml=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip(),
    )


def repr_of(recipe: dict[str, Any]) -> str:
    """JSON of strings, numbers and objects is Python too."""
    return json.dumps(recipe, indent=4, ensure_ascii=False)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def value_of(source: ModelSource) -> str:
    """A model as the form names it, `path:/models/mine`."""
    named = source.model_dump()
    return f"{named['type']}:{named.get('path') or named['id']}"


def preset_titles() -> list[tuple[str, str]]:
    return [(name, preset.summary) for name, preset in PRESETS.items()]
