"""How far a training has come: a few numbers, from which everything else about it follows.

The order of rows, η and all that is drawn at random are functions of (seed, step); the best state
and the patience that is left are functions of the scores so far.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from core.compression.finetuning.score import Score


@dataclass(frozen=True)
class Scored:
    """The model after so many steps, on the validation split."""

    step: int
    score: Score
    competes: bool = True
    """It may be the result; a model that is larger than its budget, say, may not."""


@dataclass
class Position:
    step: int = 0
    """Steps done."""
    parts: int = 1
    """A step's batch is taken in this many parts."""
    scores: list[Scored] = field(default_factory=list)
    """In their order; the first one before any step."""

    @property
    def is_scored(self) -> bool:
        return bool(self.scores) and self.scores[-1].step == self.step

    @property
    def contenders(self) -> list[Scored]:
        return [scored for scored in self.scores if scored.competes]

    @property
    def best(self) -> Scored:
        """The first of the best."""
        return max(self.contenders, key=lambda scored: scored.score)

    @property
    def without_gain(self) -> int:
        """Contenders since the best one."""
        contenders = self.contenders
        return len(contenders) - 1 - contenders.index(self.best) if contenders else 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Position":
        scores = [
            Scored(scored["step"], Score(**scored["score"]), scored["competes"])
            for scored in content["scores"]
        ]
        return cls(content["step"], content["parts"], scores)
