"""Tiny random models of every family, compressed by plain truncation, and their artifacts."""

import json
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import PreTrainedTokenizerFast

from core.compression.export.artifact import ArtifactContents
from core.compression.low_rank import Factors, LowRankLinear
from core.compression.models.layers import as_linear, linear_layer, parameter_count, replace_layer
from core.planning.families import FAMILIES
from core.planning.plan import LayerPlan, Plan
from core.recipe import Recipe
from core.recipe.events import LayerReport
from tests.compression.family_models import family_model

RANK = 5


def tiny_model(family: str, labels: int = 3) -> Any:
    """A classifier, or a language model with grouped queries and tied embeddings."""
    names = {
        "id2label": {i: f"label {i}" for i in range(labels)},
        "label2id": {f"label {i}": i for i in range(labels)},
    }
    return family_model(family, auto_class(family), len(WORDS), **names)


def auto_class(family: str) -> str:
    forward = FAMILIES[family].reads_forward
    return "AutoModelForCausalLM" if forward else "AutoModelForSequenceClassification"


def target_names(model: nn.Module, family: str) -> list[str]:
    inside = {name for name, *_ in FAMILIES[family].layers}
    start = f"{FAMILIES[family].prefix}.{FAMILIES[family].blocks}."
    names = [name for name, _ in model.named_modules() if name.startswith(start)]
    return [name for name in names if any(name.endswith(f".{each}") for each in inside)]


def compress(model: nn.Module, names: list[str], rank: int = RANK) -> None:
    """Truncated SVD in place; the last layer stays dense."""
    for name in names[:-1]:
        layer = linear_layer(model, name)
        u, s, vh = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
        outer = (u[:, :rank] * s[:rank]).contiguous()
        factors = Factors(outer, vh[:rank].contiguous())
        replace_layer(model, name, LowRankLinear.from_factors(factors, layer.bias))


def layer_reports(model: nn.Module, names: list[str]) -> tuple[LayerReport, ...]:
    return tuple(_layer_report(model.get_submodule(name), name) for name in names)


def _layer_report(layer: Any, name: str) -> LayerReport:
    shown = layer if isinstance(layer, LowRankLinear) else as_linear(layer, name)
    out_features, in_features = shown.out_features, shown.in_features
    rank = layer.rank if isinstance(layer, LowRankLinear) else None
    dense = out_features * in_features
    return LayerReport(
        name=name,
        out_features=out_features,
        in_features=in_features,
        rank=rank,
        params_before=dense,
        params_after=dense if rank is None else rank * (out_features + in_features),
        retained_energy=0.9,
        spectrum=tuple(np.geomspace(1, 1e-4, min(out_features, in_features)).tolist()),
    )


WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "good",
    "bad",
    "film",
    "plot",
    "very",
    "not",
    "a",
    "it",
]


def word_tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=words, sep_token="[SEP]", model_max_length=32, **special
    )


def a_recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate_json(json.dumps(BASE_RECIPE | changes))


BASE_RECIPE: dict[str, Any] = {
    "name": "tiny <classifier>",
    "model": {"type": "path", "path": "/models/tiny"},
    "task": {"type": "text-classification", "dataset": {"type": "path", "path": "/data/x.csv"}},
    "budget": {"type": "keep_ratio", "value": 0.5},
}


def a_metric(value: float, change: float | None = None) -> dict[str, Any]:
    drop = (
        {}
        if change is None
        else {"drop": -change, "drop_interval": [-change - 0.01, -change + 0.01]}
    )
    return {"value": value, "interval": [value - 0.02, value + 0.02], "n": 400, **drop}


def a_result(params_before: int, params_after: int) -> dict[str, Any]:
    params = {"before": params_before, "after": params_after}
    sizes = {"model": params, "targets": params}
    return {
        "metrics": {
            "dense": {"accuracy": a_metric(0.867)},
            "factorized": {"accuracy": a_metric(0.851, -0.016), "kl": a_metric(0.03)},
        },
        "params": sizes,
        "bytes": sizes,
        "latency": {
            "batch": 8,
            "repeats": 20,
            "threads": 1,
            "device": "cpu",
            "mean_tokens": 31.4,
            "dense_ms": 20.0,
            "dense_interval": [19.0, 21.0],
            "compressed_ms": 25.0,
            "compressed_interval": [24.0, 26.0],
            "speedup": 0.8,
            "speedup_interval": [0.75, 0.85],
        },
    }


def contents_for(family: str, **recipe: Any) -> ArtifactContents:
    model = tiny_model(family)
    before, names = parameter_count(model), target_names(model, family)
    compress(model, names)
    layers = layer_reports(model, names)
    return ArtifactContents(
        model=model,
        tokenizer=word_tokenizer(),
        recipe=a_recipe(**recipe),
        plan=plan_of(layers),
        layers=layers,
        result=a_result(before, parameter_count(model)),
        provenance={"versions": {"torch": torch.__version__}, "threads": 1, "device": "cpu"},
    )


def plan_of(layers: tuple[LayerReport, ...]) -> Plan:
    before = sum(layer.params_before for layer in layers)
    after = sum(layer.params_after for layer in layers)
    return Plan(
        layers=tuple(
            LayerPlan(**layer.model_dump(exclude={"measured_error", "spectrum", "raw_spectrum"}))
            for layer in layers
        ),
        target_params_before=before,
        target_params_after=after,
        model_params_before=before,
        model_params_after=after,
        predicted_loss_increase=None,
    )
