"""Statistics on disk: safetensors files of some layers each, with counts as metadata."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from core.compression.layer_statistics import LayerStatistics
from core.recipe.statistics import Statistic


def save_statistics(path: Path, layers: Mapping[str, LayerStatistics]) -> None:
    """Appears under `path` whole or not at all."""
    tensors = {
        f"{name}/{statistic}": total.cpu().contiguous()
        for name, layer in layers.items()
        for statistic, total in layer.sums.items()
    }
    metadata = {"layers": json.dumps({name: counts(layer) for name, layer in layers.items()})}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, unfinished, metadata)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def counts(layer: LayerStatistics) -> dict[str, Any]:
    return {
        "examples": layer.examples,
        "tokens": layer.tokens,
        "traces": layer.traces,
        "reliability": layer.reliability,
    }


class StoredStatistics(Mapping[str, LayerStatistics]):
    """What `save_statistics` wrote, by layer name; sums are read when a layer is asked for."""

    def __init__(self, paths: Iterable[Path], device: str = "cpu"):
        self._device = device
        self._places: dict[str, Path] = {}
        self._counts: dict[str, Any] = {}
        for path in paths:
            with safe_open(path, framework="pt") as file:
                counts = json.loads(file.metadata()["layers"])
            self._counts |= counts
            self._places |= dict.fromkeys(counts, path)

    def __getitem__(self, name: str) -> LayerStatistics:
        layer = self.counts_of(name)
        with safe_open(self._places[name], framework="pt", device=self._device) as file:
            for key in file.keys():  # noqa: SIM118 - no dict
                of, statistic = key.rsplit("/", 1)
                if of == name:
                    layer.sums[Statistic(statistic)] = file.get_tensor(key)
        return layer

    def counts_of(self, name: str) -> LayerStatistics:
        """A layer's statistics without its sums."""
        saved = self._counts[name]
        return LayerStatistics(
            sums={},
            examples=saved["examples"],
            tokens=saved["tokens"],
            traces=by_statistic(saved["traces"]),
            reliability=by_statistic(saved["reliability"]),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)


def by_statistic(values: Mapping[str, float]) -> dict[Statistic, float]:
    return {Statistic(name): value for name, value in values.items()}
