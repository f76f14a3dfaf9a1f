"""Statistics on disk: one safetensors file, sums as tensors, counts as metadata."""

import json
import os
from collections.abc import Mapping
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


def load_statistics(path: Path) -> dict[str, LayerStatistics]:
    """What `save_statistics` wrote, on the CPU."""
    with safe_open(path, framework="pt") as file:
        layers = {
            name: LayerStatistics(
                sums={},
                examples=saved["examples"],
                tokens=saved["tokens"],
                traces=by_statistic(saved["traces"]),
                reliability=by_statistic(saved["reliability"]),
            )
            for name, saved in json.loads(file.metadata()["layers"]).items()
        }
        for key in file.keys():  # noqa: SIM118 - no dict
            name, statistic = key.rsplit("/", 1)
            layers[name].sums[Statistic(statistic)] = file.get_tensor(key)
    return layers


def by_statistic(values: Mapping[str, float]) -> dict[Statistic, float]:
    return {Statistic(name): value for name, value in values.items()}
