"""Many recipes from one: budgets × methods × seeds that share what is done to the dense model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product, starmap
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from core.recipe.budget import Allocation, Budget
from core.recipe.config import Array, Config, refusal
from core.recipe.methods import Method
from core.recipe.presets import PresetName
from core.recipe.recipe import Recipe
from core.recipe.refit import Refit
from core.recipe.training import Finetune, Seed

MOST_POINTS = 100
WIDE, TALL = (1, 2), (2, 1)
"""A layer of either shape, as [out, in]: which statistics are needed depends on no more."""


class SweepMethod(Config):
    """One way to compress: what is given here goes before the sweep's recipe."""

    preset: PresetName | None = None
    method: Method | None = None
    allocation: Allocation | None = None
    refit: Refit | None = None
    finetune: Finetune | None = None


class SweepSpec(Config):
    """Every budget by every method with every seed, each a job, to choose from.

    Jobs of one sweep share the adapted model and one pass of statistics: the union of what their
    methods need.
    """

    name: str = Field(default="", max_length=200)
    recipe: dict[str, Any]
    """A recipe without budget."""
    budgets: Array[Budget] = Field(min_length=1, max_length=MOST_POINTS)
    methods: Array[SweepMethod] = Field(default=(SweepMethod(),), min_length=1, max_length=32)
    """None: the recipe's own."""
    seeds: Array[Seed] = Field(default=(), max_length=32)
    """None: the recipe's own. They differ in what is trained and drawn after the statistics."""
    split: Literal["validation", "test"] = "validation"
    """Whose rows points are compared on. The test split is for the one that is promoted."""

    @model_validator(mode="after")
    def _has_few_points(self) -> Self:
        count = len(self.budgets) * len(self.methods) * max(1, len(self.seeds))
        if count > MOST_POINTS:
            raise refusal("", f"has {count} points; at most {MOST_POINTS} are taken")
        return self

    @model_validator(mode="after")
    def _recipe_leaves_the_axes_open(self) -> Self:
        if "budget" in self.recipe:
            raise refusal("/recipe/budget", "must be left out: `budgets` has them")
        if self.seeds and "shared_seed" in self.recipe:
            raise refusal("/recipe/shared_seed", "must be left out: seeds share the recipe's seed")
        return self


@dataclass(frozen=True)
class Place:
    """Where in a sweep a point comes from."""

    budget: int
    method: int
    seed: int | None


def contents(sweep: SweepSpec) -> Iterator[tuple[Place, dict[str, Any]]]:
    """What each point's recipe says, in JSON's terms, named by its number; budgets vary slowest."""
    budgets, methods = range(len(sweep.budgets)), range(len(sweep.methods))
    seeds: Sequence[int | None] = range(len(sweep.seeds)) or [None]
    for number, place in enumerate(starmap(Place, product(budgets, methods, seeds)), start=1):
        yield place, {**_content(sweep, place), "name": f"{sweep.name or 'sweep'} {number}"}


def _content(sweep: SweepSpec, place: Place) -> dict[str, Any]:
    own = sweep.methods[place.method].model_dump(mode="json", exclude_unset=True)
    content = {**sweep.recipe, **own}
    content["budget"] = sweep.budgets[place.budget].model_dump(mode="json")
    content = evaluated_on(sweep.split, content)
    if place.seed is not None:
        shared = sweep.recipe.get("seed", Recipe.model_fields["seed"].default)
        content |= {"seed": sweep.seeds[place.seed], "shared_seed": shared}
    return content


def evaluated_on(split: str, content: dict[str, Any]) -> dict[str, Any]:
    """The same recipe on this split; what is no evaluation stays, for validation to refuse."""
    evaluation = content.get("evaluation", {})
    if not isinstance(evaluation, dict):
        return content
    return {**content, "evaluation": {**evaluation, "split": split}}


def source(sweep: SweepSpec, place: Place, pointer: str) -> str:
    """The sweep's own field behind a field of a point's recipe (JSON pointers)."""
    field, _, rest = pointer.lstrip("/").partition("/")
    rest = f"/{rest}" if rest else ""
    if field == "budget":
        return f"/budgets/{place.budget}{rest}"
    if field == "seed" and place.seed is not None:
        return f"/seeds/{place.seed}"
    if field == "shared_seed":
        return "/recipe/seed"
    if field in sweep.methods[place.method].model_fields_set:
        return f"/methods/{place.method}/{field}{rest}"
    return f"/recipe{pointer}"


def sharing_statistics(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The same, each of which takes what all of them need. A method that trains the dense model
    before it looks at it shares nothing, and neither does one that needs no statistics."""
    sharing = [recipe for recipe in recipes if _shares(recipe)]
    also = {
        side: sorted({each for recipe in sharing for each in recipe.required_statistics(*shape)})
        for side, shape in (("wide", WIDE), ("tall", TALL))
    }
    return [_taking(recipe, also) if _shares(recipe) else recipe for recipe in recipes]


def _shares(recipe: Recipe) -> bool:
    trains = {"prune", "dynamic_ranks"} & set(recipe.method.stages)
    return recipe.needs_statistics and not trains


def _taking(recipe: Recipe, also: dict[str, list[Any]]) -> Recipe:
    taken = type(recipe.calibration.also)(wide=tuple(also["wide"]), tall=tuple(also["tall"]))
    calibration = recipe.calibration.model_copy(update={"also": taken})
    return recipe.model_copy(update={"calibration": calibration})
