"""What a long computation reports between two steps; the pipeline adds the stage and the ETA."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from core.recipe.events import LayerStructure

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units are finished; `values` is what is worth plotting at this point."""

    done: int
    total: int
    unit: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpointed:
    """A restart would continue after this step."""

    step: int


@dataclass(frozen=True)
class Validated:
    """The validation split scored the model after so many steps."""

    step: int
    metric: str
    value: float
    loss: float
    best: bool
    """No earlier state that may be the result is as good."""


@dataclass(frozen=True)
class Structure:
    """The matrices of a model whose structure is being trained, after so many steps."""

    step: int
    total: int
    layers: tuple[LayerStructure, ...]


@dataclass(frozen=True)
class Notice:
    """A sentence for the person who reads the job's log."""

    message: str
    level: Literal["info", "warning"] = "info"


def standing_at(
    done: int, total: int, unit: str, work: Generator[Progress, None, T]
) -> Generator[Progress, None, T]:
    """The work as the next unit of a larger count, which moves only when it is done."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            result: T = finished.value
            return result
        yield Progress(done, total, unit)
