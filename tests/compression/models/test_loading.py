import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import RobertaConfig, RobertaTokenizer

from core.compression.models.layers import (
    linear_layer,
    parameter_bytes,
    parameter_count,
    replace_layer,
)
from core.compression.models.loading import LoadedModel, load_model, load_tokenizer, own_label_names
from core.errors import ModelError
from tests.compression.tiny_models import save_classifier, save_encoder


def load_classifier(folder: Path, labels: tuple[str, ...], **options: Any) -> LoadedModel:
    return load_model(folder, "AutoModelForSequenceClassification", labels, **options)


def test_an_encoder_gets_a_new_head_from_the_random_state(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loaded = load_classifier(folder, ("bad", "good", "other"))
        assert loaded.new_head
        heads.append(linear_layer(loaded.model, "classifier").weight)
    assert heads[0].shape == (3, 32)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_head_for_as_many_labels_is_kept(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "model", ("bad", "good"))
    torch.manual_seed(1)
    first = load_classifier(folder, ("bad", "good"))
    torch.manual_seed(2)
    second = load_classifier(folder, ("bad", "good"))
    assert not first.new_head
    weights = [linear_layer(loaded.model, "classifier").weight for loaded in (first, second)]
    assert torch.equal(*weights)
    assert own_label_names(folder) == ("bad", "good")


def test_a_head_is_new_for_more_labels_or_on_demand(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "model", ("bad", "good"))
    own = linear_layer(load_classifier(folder, ("bad", "good")).model, "classifier").weight
    more = load_classifier(folder, ("a", "b", "c"))
    other = load_classifier(folder, ("a", "b"), keep_head=False)
    assert more.new_head
    assert other.new_head
    assert not torch.equal(linear_layer(other.model, "classifier").weight, own)
    config: Any = other.model.config
    assert config.id2label == {0: "a", 1: "b"}


def test_models_are_in_eval_mode_in_float32_with_sdpa(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "model", ("bad", "good"))
    model = load_classifier(folder, ("bad", "good")).model
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    config: Any = model.config
    assert config._attn_implementation == "sdpa"


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_compressed_model_is_refused_by_name(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    edit_config(folder, model_type="rankwise-bert")
    with pytest.raises(ModelError):
        load_classifier(folder, ("bad", "good"))


def test_code_in_the_folder_is_not_run(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    canary = tmp_path / "canary"
    (folder / "modeling_own.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
    auto_map = {
        "AutoConfig": "modeling_own.OwnConfig",
        "AutoModelForSequenceClassification": "modeling_own.OwnModel",
    }
    edit_config(folder, model_type="own", auto_map=auto_map)
    with pytest.raises(ModelError):
        load_classifier(folder, ("bad", "good"))
    assert not canary.exists()


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    with pytest.raises(ModelError):
        load_classifier(folder, ("bad", "good"))
    assert not (tmp_path / "canary").exists()


def test_missing_weights_of_the_body_are_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    edit_config(folder, num_hidden_layers=3)
    with pytest.raises(ModelError, match="lacks 16"):
        load_classifier(folder, ("bad", "good"))


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_classifier(folder, ("bad", "good"))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json", "words.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(folder)


def test_layers_are_found_and_replaced_by_name(tmp_path: Path) -> None:
    model = load_classifier(save_encoder(tmp_path / "model"), ("bad", "good")).model
    name = "bert.encoder.layer.1.output.dense"
    replace_layer(model, name, torch.nn.Linear(64, 32, bias=False))
    assert linear_layer(model, name).bias is None
    with pytest.raises(ModelError, match="no layer"):
        linear_layer(model, "bert.encoder.layer.9.output.dense")
    with pytest.raises(ModelError, match="LayerNorm"):
        linear_layer(model, "bert.encoder.layer.1.output.LayerNorm")


def test_tied_parameters_count_once() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    assert parameter_count(model) == 24
    model[1].weight = model[0].weight
    assert parameter_count(model) == 15
    assert parameter_bytes(model) == 60


def test_a_tokenizer_is_read_with_the_options_that_its_kind_has(tmp_path: Path) -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", "a", "b"]
    bytes_of_words = RobertaTokenizer(vocab={w: n for n, w in enumerate(words)}, merges=[])
    bytes_of_words.save_pretrained(tmp_path)
    RobertaConfig(vocab_size=len(words)).save_pretrained(tmp_path)
    spaced = load_tokenizer(tmp_path, {"add_prefix_space": True, "unheard_of": 1})
    assert spaced([["a", "b"]], is_split_into_words=True).input_ids == [[0, 5, 6, 5, 7, 2]]
    plain = load_tokenizer(save_encoder(tmp_path / "model"), {"add_prefix_space": True})
    assert plain(["great"]).input_ids == [[2, 5, 3]]
