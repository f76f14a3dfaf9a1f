import os
from pathlib import Path

import pytest
import torch

from core.compression.layer_statistics import LayerStatistics
from core.compression.statistics.storage import StoredStatistics, save_statistics
from core.recipe.statistics import Statistic


def layers(examples: int = 3) -> dict[str, LayerStatistics]:
    generator = torch.Generator().manual_seed(0)
    gram = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    return {
        "encoder.0.query": LayerStatistics(
            {Statistic.OUTPUT_GRAM: gram.T, Statistic.FISHER_IN: gram[0]},
            examples,
            17,
            {Statistic.INPUT_GRAM: 0.1 + 0.2},
            {Statistic.FISHER_IN: 1 / 3},
        ),
        "encoder.0.key": LayerStatistics({}, examples, 17),
    }


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_statistics(tmp_path / "statistics.safetensors", layers())
    loaded = StoredStatistics([tmp_path / "statistics.safetensors"])
    assert loaded.keys() == layers().keys()
    for name, layer in layers().items():
        assert loaded[name].sums.keys() == layer.sums.keys()
        assert all(torch.equal(loaded[name][s], total) for s, total in layer.sums.items())
        assert (loaded[name].examples, loaded[name].tokens) == (layer.examples, layer.tokens)
        assert (loaded[name].traces, loaded[name].reliability) == (layer.traces, layer.reliability)


def test_files_are_one_mapping_and_a_layer_is_read_alone(tmp_path: Path) -> None:
    query, key = layers()["encoder.0.query"], layers(examples=5)["encoder.0.key"]
    save_statistics(tmp_path / "a", {"encoder.0.query": query})
    save_statistics(tmp_path / "b", {"encoder.1.query": key})
    stored = StoredStatistics([tmp_path / "a", tmp_path / "b"])
    assert list(stored) == ["encoder.0.query", "encoder.1.query"]
    assert stored.counts_of("encoder.0.query").tokens == 17
    assert not stored.counts_of("encoder.0.query").sums
    (tmp_path / "a").unlink()
    assert stored["encoder.1.query"].examples == 5
    assert stored.get("encoder.2.query") is None
    assert not StoredStatistics([])


def test_same_statistics_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_statistics(tmp_path / name, layers())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_save_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "statistics"
    save_statistics(path, layers())

    def full_disk(source: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="space"):
        save_statistics(path, layers(examples=99))
    assert StoredStatistics([path])["encoder.0.key"].examples == 3
    assert list(tmp_path.iterdir()) == [path]
