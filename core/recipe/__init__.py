"""The recipe: what a run should do. Pydantic only; no torch, no database, no web."""

from core.recipe.recipe import Limits, Recipe

__all__ = ["Limits", "Recipe"]
