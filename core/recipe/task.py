"""What the model is for: a task with its data, columns and splits."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.recipe.config import Config, refusal
from core.recipe.sources import DatasetSource

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class SplitRows(Config):
    """At most this many rows of each split are used (a seeded, stratified choice)."""

    train: int | None = Field(default=None, ge=2)
    validation: int | None = Field(default=None, ge=2)
    test: int | None = Field(default=None, ge=2)


class SeededSplits(Config):
    """Seeded and stratified. Training sees train, every choice validation, test is read once."""

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


class TextClassification(Config):
    """Single texts, or pairs of texts, with one label each."""

    type: Literal["text-classification"] = "text-classification"
    dataset: DatasetSource
    text: ColumnName = "text"
    text_pair: ColumnName | None = None
    label: ColumnName = "label"
    max_length: int = Field(default=128, ge=4, le=8192)
    """Tokens per example; longer ones are truncated."""
    splits: SeededSplits = SeededSplits()

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        columns = [c for c in (self.text, self.text_pair, self.label) if c is not None]
        if len(set(columns)) < len(columns):
            raise refusal("/label", "text, text_pair and label must name different columns")
        return self


Task = Annotated[TextClassification, Field(discriminator="type")]
