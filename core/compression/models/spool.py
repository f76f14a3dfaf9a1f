"""Tensors of many batches on disk, so that memory holds one batch of them at a time."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.compression.models.blocks import Call


class Spool:
    """One residual stream (or its gradient) of every batch, [batch, length, width] each."""

    def __init__(self, folder: Path, device: torch.device):
        self.folder = folder
        self.device = device

    def __setitem__(self, batch: int, stream: Tensor) -> None:
        _save(stream.detach().cpu().contiguous(), self._path(batch))

    def __getitem__(self, batch: int) -> Tensor:
        path = self._path(batch)
        stream: Tensor = torch.load(path, map_location=self.device, weights_only=True)
        return stream

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, batch: int) -> Path:
        return self.folder / f"{batch}.pt"


class CallSpool:
    """What every block was called with in every batch. What blocks share is kept once."""

    def __init__(self, folder: Path, device: torch.device):
        self.folder = folder
        self.device = device

    def keep(self, batch: int, calls: list[Call]) -> None:
        content = [{"arguments": call.arguments, "keywords": call.keywords} for call in calls]
        _save(content, self._path(batch))

    def call(self, batch: int, block: int) -> Call:
        path = self._path(batch)
        return Call(**torch.load(path, map_location=self.device, weights_only=True)[block])

    def _path(self, batch: int) -> Path:
        return self.folder / f"{batch}.pt"


def _save(content: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
