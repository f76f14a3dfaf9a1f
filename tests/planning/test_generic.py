"""Architectures without a family, read from headers and compared with transformers' own models."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from core.compression.models.architectures import base_prefix, class_names, model_types
from core.compression.models.layers import as_linear
from core.errors import ModelError
from core.planning.architectures import AUTO_CLASSES, architectures
from core.planning.checkpoint import read_checkpoint
from core.planning.families import FAMILIES, target_layers
from core.planning.generic import why_left
from core.planning.headers import TensorInfo
from core.planning.left import left_modules
from core.planning.plan import LeftModules, TargetLayer
from core.recipe.sources import PathDataset
from core.recipe.task import CausalLm, Embedding, Task, TextClassification

DATASET = PathDataset(path="rows.csv")
CLASSIFICATION = TextClassification(dataset=DATASET)
SIZES = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 12,
    "num_attention_heads": 2,
    "vocab_size": 11,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "mpnet": SIZES,
    "gpt_neox": SIZES,
    "modernbert": SIZES | {"num_hidden_layers": 3, "pad_token_id": 0},
    "openai-gpt": {"n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 11},
    "bloom": {"hidden_size": 8, "n_layer": 2, "n_head": 2, "vocab_size": 11},
    "opt": SIZES | {"num_hidden_layers": 2, "ffn_dim": 12, "word_embed_proj_dim": 8},
    "gemma": SIZES | {"num_hidden_layers": 2, "head_dim": 4, "num_key_value_heads": 1},
}


def a_model(model_type: str, auto_class: Any = AutoModelForSequenceClassification) -> Any:
    return auto_class.from_config(CONFIG_MAPPING[model_type](**CONFIGS[model_type]))


def block_linears(model: nn.Module) -> set[TargetLayer]:
    """Every linear layer with a number in its name."""
    found = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D))
    linears = [(n, as_linear(m, n)) for n, m in found if any(p.isdecimal() for p in n.split("."))]
    return {TargetLayer(n, m.out_features, m.in_features) for n, m in linears}


@pytest.mark.parametrize("model_type", CONFIGS)
def test_targets_are_the_models_own_linear_layers(model_type: str, tmp_path: Path) -> None:
    model = a_model(model_type)
    model.save_pretrained(tmp_path / "head")
    a_model(model_type, AutoModel).save_pretrained(tmp_path / "base")
    for folder in ("head", "base"):
        found = target_layers(read_checkpoint(tmp_path / folder), CLASSIFICATION)
        assert len(found) == len(set(found))
        assert set(found) == block_linears(model)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_of_embeddings_they_are_the_base_models(model_type: str, tmp_path: Path) -> None:
    a_model(model_type).save_pretrained(tmp_path)
    base = a_model(model_type, AutoModel)
    task = Embedding(dataset=DATASET)
    assert set(target_layers(read_checkpoint(tmp_path), task)) == block_linears(base)


def test_blocks_come_in_their_order(tmp_path: Path) -> None:
    a_model("mpnet").save_pretrained(tmp_path)
    layers = target_layers(read_checkpoint(tmp_path), CLASSIFICATION)
    blocks = [int(layer.name.split(".")[3]) for layer in layers]
    assert blocks == sorted(blocks)
    assert blocks[-1] == 11


@pytest.mark.parametrize("model_type", CONFIGS)
def test_every_matrix_is_taken_or_left(model_type: str, tmp_path: Path) -> None:
    a_model(model_type).save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    targets = target_layers(checkpoint, CLASSIFICATION)
    left = left_modules(checkpoint, targets)
    matrices = sum(t.size for t in checkpoint.tensors.values() if len(t.shape) > 1)
    assert sum(t.params for t in targets) + sum(group.params for group in left) == matrices
    assert all(group.reason for group in left)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("model.embed_tokens.weight", (9, 4), "an embedding"),
        ("score.weight", (2, 4), "outside the blocks"),
        ("model.layers.0.mlp.experts.gate_up_proj", (2, 4, 4), "3 dimensions"),
        ("model.layers.0.mlp.experts.1.up_proj.weight", (4, 4), "experts of a mixture"),
        ("model.layers.0.mlp.gate.weight", (2, 4), "a router"),
        ("model.layers.0.mixer.A_log", (4, 4), "no weight of a linear layer"),
        ("model.layers.0.gate.proj.weight", (1, 4), "one row or column"),
        ("model.layers.0.mlp.gate_proj.weight", (4, 4), None),
    ],
)
def test_what_is_left_has_a_reason(name: str, shape: tuple[int, ...], reason: str | None) -> None:
    assert why_left(name, TensorInfo(shape, "F32")) == reason


def test_modules_that_differ_in_numbers_are_told_together(tmp_path: Path) -> None:
    config = CONFIG_MAPPING["mixtral"](**SIZES | {"num_hidden_layers": 2}, num_local_experts=3)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    left = left_modules(checkpoint, target_layers(checkpoint, CLASSIFICATION))
    experts = [group for group in left if ".experts" in group.name]
    assert sum(group.params for group in experts) == 2 * 3 * 3 * 8 * 16
    assert all("*" in group.name for group in experts)
    router = next(group for group in left if group.reason == "a router")
    assert (router.count, router.params) == (2, 2 * 3 * 8)
    assert isinstance(router, LeftModules)


@pytest.mark.parametrize(
    ("model_type", "changes", "task", "words"),
    [
        ("mpnet", {}, CausalLm(dataset=DATASET), "cannot be compressed for causal-lm"),
        ("bart", {"is_encoder_decoder": True}, CLASSIFICATION, "encoder with a decoder"),
    ],
)
def test_what_cannot_be_done_is_refused(
    model_type: str, changes: dict[str, Any], task: Task, words: str, tmp_path: Path
) -> None:
    a_model("mpnet").save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    other = type(checkpoint)(
        **{**vars(checkpoint), "model_type": model_type, "config": {**checkpoint.config, **changes}}
    )
    with pytest.raises(ModelError, match=words) as refused:
        target_layers(other, task)
    assert refused.value.pointer == "/model/path"


def test_the_table_of_architectures_is_transformers_own() -> None:
    """If not: python -m core.compression.models.architectures."""
    assert sorted(architectures()) == model_types()
    for model_type, heads in architectures().items():
        assert {AUTO_CLASSES[auto] for auto in class_names(model_type)} == set(heads)
    for model_type in [*FAMILIES, *CONFIGS]:
        for auto, name in class_names(model_type).items():
            assert architectures()[model_type][AUTO_CLASSES[auto]] == base_prefix(name)
