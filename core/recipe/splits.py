"""Which rows train, which decide, which are read once."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from core.recipe.config import Config, refusal

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
SplitName = Annotated[str, Field(min_length=1, max_length=128)]


class SplitRows(Config):
    """At most this many rows of each split are used (a seeded, stratified choice)."""

    train: int | None = Field(default=None, ge=2)
    validation: int | None = Field(default=None, ge=2)
    test: int | None = Field(default=None, ge=2)


class SeededSplits(Config):
    """Seeded and stratified. Training sees train, every choice validation, test is read once."""

    type: Literal["seeded"] = "seeded"
    seed: int = Field(default=17, ge=0, le=2**32 - 1)
    train: float = Field(default=0.8, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    test: float = Field(default=0.1, gt=0, lt=1)
    max_rows: SplitRows = SplitRows()

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise refusal("/train", f"train + validation + test must be 1, not {total:g}")
        return self


class NamedSplits(Config):
    """Splits that the data names itself: a hub dataset's own, or the values of a table's column."""

    type: Literal["named"] = "named"
    column: ColumnName | None = None
    """Of each row's split's name; none for a hub dataset, which keeps its splits apart."""
    train: SplitName = "train"
    validation: SplitName | None = "validation"
    """None takes a seeded, stratified tenth of the train split."""
    test: SplitName = "test"
    seed: int = Field(default=17, ge=0, le=2**32 - 1)
    max_rows: SplitRows = SplitRows()

    @model_validator(mode="after")
    def _splits_differ(self) -> Self:
        names = [n for n in (self.train, self.validation, self.test) if n is not None]
        if len(set(names)) < len(names):
            raise refusal("/test", "train, validation and test must name different splits")
        return self


def _seeded_unless_tagged(value: Any) -> Any:
    return {"type": "seeded", **value} if isinstance(value, dict) and "type" not in value else value


Splits = Annotated[
    SeededSplits | NamedSplits,
    Field(discriminator="type"),
    BeforeValidator(_seeded_unless_tagged),
]
"""Without a `type`, seeded."""
