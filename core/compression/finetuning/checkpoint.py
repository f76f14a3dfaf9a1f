"""Where a training stands, on disk: complete or absent, and enough to go on bit for bit on CPU.

`last.pt` holds the position, the weights, the optimizer's moments and what hooks remember;
`best-<step>.safetensors` the best weights so far. Both appear by a rename after an fsync, and the
best ones are deleted only when no `last.pt` names them any more: a kill at any moment leaves a pair
that fits together.

A checkpoint says what it was made of. One of another input, of another format, or that cannot be
read is refused, with the reason: training then begins anew.
"""

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from core.compression.finetuning.position import Position

FORMAT = 2
"""Raised when what lies in a checkpoint changes its meaning."""
LAST = "last.pt"


class CheckpointRefused(Exception):
    """No error of the run: its checkpoint cannot be used, and why."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds."""

    position: Position
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    hooks: list[dict[str, Any]]
    made_on: dict[str, str | int]


class CheckpointFolder:
    """Checkpoints of one training, whose whole input the fingerprint stands for."""

    def __init__(
        self,
        folder: Path,
        every_seconds: float,
        every_steps: int | None = None,
        *,
        fingerprint: str = "",
        clock: Callable[[], float] = time.monotonic,
    ):
        self.folder = folder
        self.every_seconds = every_seconds
        self.every_steps = every_steps
        self.fingerprint = fingerprint
        self._clock = clock
        self._saved_at = clock()
        folder.mkdir(parents=True, exist_ok=True)

    def is_due(self, step: int) -> bool:
        by_steps = self.every_steps is not None and step % self.every_steps == 0
        return by_steps or self._clock() - self._saved_at >= self.every_seconds

    def save(
        self,
        position: Position,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        hooks: Sequence[dict[str, Any]] = (),
    ) -> None:
        state = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "made_on": machinery(model),
            "position": position.as_json(),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "hooks": list(hooks),
        }
        self._write(LAST, lambda path: torch.save(state, path))
        self._saved_at = self._clock()
        self._drop_all_but(position)

    def load(self) -> Saved | None:
        """The last checkpoint, on the CPU; None if there is none.

        Raises:
            CheckpointRefused: it is not one of this training.
        """
        path = self.folder / LAST
        if not path.exists():
            return None
        state = read(path)
        if state.get("format") != FORMAT:
            raise CheckpointRefused(f"its format is {state.get('format')}, not {FORMAT}")
        if state["fingerprint"] != self.fingerprint:
            raise CheckpointRefused(
                f"it is of other input: its fingerprint is {state['fingerprint'][:16]}, "
                f"this run's is {self.fingerprint[:16]}"
            )
        position = Position.from_json(state["position"])
        if position.contenders and not self._best(position.best.step).exists():
            raise CheckpointRefused("the best weights that it names are not there")
        saved = (state[name] for name in ("model", "optimizer", "hooks", "made_on"))
        return Saved(position, *saved)

    def keep_best(self, step: int, model: nn.Module) -> None:
        self._write(self._best(step).name, lambda path: save_model(model, str(path)))

    def load_best(self, step: int, model: nn.Module) -> None:
        load_model(model, self._best(step))

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"

    def _drop_all_but(self, position: Position) -> None:
        kept = {self._best(position.best.step)} if position.contenders else set()
        for path in set(self.folder.glob("best-*")) - kept:
            path.unlink(missing_ok=True)

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        partial = self.folder / f".{name}.partial"
        write(partial)
        _to_disk(partial)
        partial.replace(self.folder / name)
        _to_disk(self.folder)


def read(path: Path) -> dict[str, Any]:
    """
    Raises:
        CheckpointRefused: the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointRefused("it cannot be read") from error
    return state


def machinery(model: nn.Module) -> dict[str, str | int]:
    """What the last bits of a step depend on, beside its inputs."""
    return {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "device": next(model.parameters()).device.type,
        "kernels": torch.backends.cpu.get_cpu_capability(),
    }


def differences(before: dict[str, str | int], now: dict[str, str | int]) -> Iterator[str]:
    """threads 2, now 1"""
    for name, value in now.items():
        if before.get(name) != value:
            yield f"{name} {before.get(name)}, now {value}"


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
