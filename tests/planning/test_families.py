"""Targets are compared with the modules of real transformers models."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from core.compression.models.layers import as_linear
from core.errors import ModelError, RecipeError
from core.planning.checkpoint import read_checkpoint
from core.planning.families import FAMILIES, target_layers
from core.planning.plan import TargetLayer
from core.recipe.sources import PathDataset
from core.recipe.task import CausalLm, Embedding, QuestionAnswering, Task
from tests.compression.family_models import family_config
from tests.planning.checkpoints import bert_tensors, write_bert, write_config
from tests.planning.test_read_checkpoint import minilm_folder

DATASET = PathDataset(path="rows.csv")
EMBEDDING = Embedding(dataset=DATASET)
CAUSAL_LM = CausalLm(dataset=DATASET)
QUESTIONS = QuestionAnswering(dataset=DATASET)
SMALL = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 11,
}
CONFIGS: list[PreTrainedConfig] = [
    *(family_config(family, 11, tie_word_embeddings=True) for family in FAMILIES),
    MistralConfig(**SMALL, num_key_value_heads=1, head_dim=None),
    LlamaConfig(**SMALL, num_key_value_heads=1, head_dim=6, tie_word_embeddings=True),
    GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=11),
    AlbertConfig(**SMALL | {"num_hidden_layers": 4}, embedding_size=4, num_hidden_groups=2),
]


def block_linears(model: nn.Module) -> tuple[TargetLayer, ...]:
    """Every linear layer inside a Transformer block: what the families must name."""
    found = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D))
    linears = [(n, as_linear(m, n)) for n, m in found if re.search(r"(layers?|h|groups)\.\d", n)]
    return tuple(TargetLayer(n, m.out_features, m.in_features) for n, m in in_family_order(linears))


def in_family_order(linears: list[tuple[str, nn.Linear]]) -> list[tuple[str, nn.Linear]]:
    """ALBERT's modules have the feed-forward part first."""
    return sorted(linears, key=lambda each: (re.findall(r"\d+", each[0]), "ffn" in each[0]))


def with_head(config: PreTrainedConfig) -> PreTrainedModel:
    forward = FAMILIES[config.model_type].reads_forward
    auto_class = AutoModelForCausalLM if forward else AutoModelForSequenceClassification
    model: PreTrainedModel = auto_class.from_config(config)
    return model


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
@pytest.mark.parametrize("headless", [False, True])
def test_targets_are_the_models_own_modules(
    config: PreTrainedConfig, headless: bool, tmp_path: Path
) -> None:
    model = with_head(config)
    saved = AutoModel.from_config(config) if headless else model
    saved.save_pretrained(tmp_path)
    assert target_layers(read_checkpoint(tmp_path)) == block_linears(model)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
@pytest.mark.parametrize("headless", [False, True])
def test_targets_of_embeddings_are_the_base_models_modules(
    config: PreTrainedConfig, headless: bool, tmp_path: Path
) -> None:
    base = AutoModel.from_config(config)
    (base if headless else with_head(config)).save_pretrained(tmp_path)
    assert target_layers(read_checkpoint(tmp_path), EMBEDDING) == block_linears(base)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_tied_embeddings_count_once(config: PreTrainedConfig, tmp_path: Path) -> None:
    model = with_head(config)
    model.save_pretrained(tmp_path)
    assert read_checkpoint(tmp_path).params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("family", "task"), [("bert", CAUSAL_LM), ("llama", QUESTIONS)])
def test_a_family_that_cannot_do_the_task_is_refused(
    family: str, task: Task, tmp_path: Path
) -> None:
    config = next(config for config in CONFIGS if config.model_type == family)
    with_head(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=task.type) as refused:
        target_layers(read_checkpoint(tmp_path), task)
    assert refused.value.pointer == "/model/path"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
@pytest.mark.parametrize("task", [None, EMBEDDING])
def test_the_token_embedding_is_the_models_own(
    config: PreTrainedConfig, task: Task | None, tmp_path: Path
) -> None:
    model = with_head(config) if task is None else AutoModel.from_config(config)
    with_head(config).save_pretrained(tmp_path)
    first, *others = target_layers(read_checkpoint(tmp_path), task, embeddings=True)
    assert tuple(others) == target_layers(read_checkpoint(tmp_path), task)
    table = model.get_input_embeddings()
    assert model.get_submodule(first.name) is table
    assert (first.in_features, first.out_features) == tuple(table.weight.shape)
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is table.weight
    assert first.use == ("tied" if tied else "lookup")


def test_a_family_without_an_embedding_refuses_it_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_head(CONFIGS[0]).save_pretrained(tmp_path)
    monkeypatch.setitem(FAMILIES, "bert", replace(FAMILIES["bert"], embedding=None))
    with pytest.raises(RecipeError, match="bert") as refused:
        target_layers(read_checkpoint(tmp_path), embeddings=True)
    assert refused.value.pointer == "/embeddings"


def test_an_embedding_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    model = with_head(CONFIGS[0])
    model.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"vocab_size": 11', '"vocab_size": 12'))
    with pytest.raises(ModelError, match="12 tokens"):
        target_layers(read_checkpoint(tmp_path), embeddings=True)


def test_every_family_names_its_token_embedding() -> None:
    assert all(family.embedding for family in FAMILIES.values())


def test_minilm_has_36_targets() -> None:
    layers = target_layers(read_checkpoint(minilm_folder()))
    assert len(layers) == 36
    assert sum(layer.params for layer in layers) == 10_616_832
    assert layers[0] == TargetLayer("bert.encoder.layer.0.attention.self.query", 384, 384)
    assert layers[-1] == TargetLayer("bert.encoder.layer.5.output.dense", 384, 1536)


def refusal(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        target_layers(read_checkpoint(folder))
    assert caught.value.pointer == "/model/path"
    return caught.value


def test_what_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    error = refusal(write_bert(tmp_path, model_type="gpt9"))
    assert "'gpt9' is not known" in error.message


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = bert_tensors()
    del tensors["bert.encoder.layer.1.output.dense.weight"]
    assert (
        "bert.encoder.layer.1.output.dense.weight" in refusal(write_bert(tmp_path, tensors)).message
    )


def test_more_layers_than_the_config_says_is_refused(tmp_path: Path) -> None:
    assert "more layers" in refusal(write_bert(tmp_path, num_hidden_layers=1)).message


def test_fewer_layers_than_the_config_says_is_refused(tmp_path: Path) -> None:
    assert "lacks" in refusal(write_bert(tmp_path, num_hidden_layers=3)).message


def test_a_shape_the_config_denies_is_refused(tmp_path: Path) -> None:
    assert "[8, 4]" in refusal(write_bert(tmp_path, intermediate_size=16)).message


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    name = "bert.encoder.layer.0.attention.self.query.weight"
    tensors = bert_tensors() | {name: np.ones((4, 4), dtype=np.int8)}
    assert "I8" in refusal(write_bert(tmp_path, tensors)).message


@pytest.mark.parametrize("depth", [None, 0, "2", True])
def test_a_config_without_its_sizes_is_refused(tmp_path: Path, depth: object) -> None:
    folder = write_bert(tmp_path)
    config = dict(read_checkpoint(folder).config, num_hidden_layers=depth)
    write_config(folder, config)
    assert "num_hidden_layers" in refusal(folder).message
