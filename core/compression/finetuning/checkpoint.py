"""Where a training run stands, on disk: complete or absent, and enough to resume bit for bit."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from core.reporting.numbers import higher_is_better


@dataclass(frozen=True, order=True)
class Score:
    """How good a model is on the validation split: by its headline metric, then by its loss."""

    goodness: float
    """The metric's value, negated where lower is better."""
    negative_loss: float
    metric: str = field(default="accuracy", compare=False)

    @classmethod
    def of(cls, metric: str, value: float, loss: float) -> "Score":
        return cls(value if higher_is_better(metric) else -value, -loss, metric)

    @property
    def value(self) -> float:
        return self.goodness if higher_is_better(self.metric) else -self.goodness

    @property
    def loss(self) -> float:
        return -self.negative_loss


@dataclass
class Position:
    """What a run has done so far. The order of rows, η and dropout are functions of `step`."""

    step: int = 0
    epoch: int = 0
    """Epochs finished AND validated."""
    parts: int = 1
    """A step's batch is taken in this many parts."""
    scores: list[Score] = field(default_factory=list)
    """Before the first step, then after each epoch."""

    @property
    def best_epoch(self) -> int:
        return max(range(len(self.scores)), key=lambda epoch: self.scores[epoch])


class CheckpointFolder:
    """Holds the last position with the optimizer's state, and the best weights seen."""

    def __init__(
        self, folder: Path, every_seconds: float, clock: Callable[[], float] = time.monotonic
    ):
        self.folder = folder
        self.every_seconds = every_seconds
        self._clock = clock
        self._saved_at = clock()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_due(self) -> bool:
        return self._clock() - self._saved_at >= self.every_seconds

    def save(self, position: Position, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "position": asdict(position),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        self._write("last.pt", lambda path: torch.save(state, path))
        self._saved_at = self._clock()

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position | None:
        """Load the last checkpoint into model and optimizer; None if there is none."""
        path = self.folder / "last.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scores = [Score(**score) for score in state["position"].pop("scores")]
        return Position(**state["position"], scores=scores)

    def keep_best(self, model: nn.Module) -> None:
        self._write("best.safetensors", lambda path: save_model(model, str(path)))

    def load_best(self, model: nn.Module) -> None:
        load_model(model, self.folder / "best.safetensors")

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        partial = self.folder / f"{name}.partial"
        write(partial)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(self.folder / name)
