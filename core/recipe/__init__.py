"""The recipe: what a run should do. Pydantic only; no torch, no database, no web."""

from core.recipe.recipe import Recipe

__all__ = ["Recipe"]
