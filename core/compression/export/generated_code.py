"""The Python files inside an artifact: what runs, in plain sight, needing nothing of ours."""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn
from transformers.modeling_layers import (
    GenericForSequenceClassification,
    GenericForTokenClassification,
)

from core.compression.export.templating import render
from core.compression.low_rank import LowRankLinear
from core.compression.low_rank_embedding import LowRankEmbedding
from core.compression.models.layers import transposed_layers
from core.compression.tasks.registry import TASK_KINDS
from core.errors import ModelError

CONFIGURATION_FILE = "configuration_rankwise.py"
MODELING_FILE = "modeling_rankwise.py"
MODEL_TYPE_PREFIX = "rankwise-"
LOOKS_UP_BASE = (GenericForSequenceClassification, GenericForTokenClassification)
"""How decoders classify: ``AutoModel.from_config(config)``, which must know the config's class."""
AUTO_CLASSES = frozenset(kind.auto_class for kind in TASK_KINDS.values())


@dataclass(frozen=True)
class GeneratedNames:
    """What the classes around one transformers class are called."""

    dense_class: str
    """BertForSequenceClassification"""
    dense_config: str
    """BertConfig"""
    model_type: str
    """rankwise-bert"""
    auto_class: str
    """AutoModelForSequenceClassification"""
    base_class: str | None = None
    """Qwen2Model, where the dense class looks it up by its config."""
    stored_transposed: bool = False
    """Some of its linear layers are of the class Conv1D, whose weight lies as [in, out]."""

    @property
    def model_class(self) -> str:
        return f"Rankwise{self.dense_class}"

    @property
    def config_class(self) -> str:
        return f"Rankwise{self.dense_config}"

    @property
    def auto_map(self) -> dict[str, str]:
        return {
            "AutoConfig": f"{CONFIGURATION_FILE.removesuffix('.py')}.{self.config_class}",
            self.auto_class: f"{MODELING_FILE.removesuffix('.py')}.{self.model_class}",
        }


def names_for(model: nn.Module) -> GeneratedNames:
    """The names for this model.

    Raises:
        ModelError: its class is none of transformers' own for a task that we know.
    """
    dense = type(model)
    auto_class = next((name for name in sorted(AUTO_CLASSES) if _gives(name, model)), None)
    if auto_class is None:
        raise ModelError(
            f"A {dense.__name__} cannot be exported: it is no model of transformers for a task.",
            pointer="/model",
        )
    config: type = dense.config_class  # type: ignore[attr-defined]
    return GeneratedNames(
        dense_class=dense.__name__,
        dense_config=config.__name__,
        model_type=f"{MODEL_TYPE_PREFIX}{config.model_type}",  # type: ignore[attr-defined]
        auto_class=auto_class,
        base_class=_looked_up_base(dense),
        stored_transposed=bool(transposed_layers(skeleton(model))),
    )


def skeleton(model: nn.Module) -> nn.Module:
    """The dense model that a compressed one was made from, without its numbers."""
    with torch.device("meta"):
        dense: nn.Module = type(model)(copy.deepcopy(model.config))
    return dense


def _looked_up_base(dense: Any) -> str | None:
    """The class of the base model, where only AutoModel says which it is."""
    if not issubclass(dense, LOOKS_UP_BASE):
        return None
    known: Any = transformers.AutoModel._model_mapping
    return str(known[dense.config_class].__name__)


def _gives(auto_class: str, model: nn.Module) -> bool:
    """Whether this Auto class gives a model of this class for its config."""
    known: Any = getattr(transformers, auto_class)._model_mapping
    config = type(getattr(model, "config", None))
    return config in known and known[config] is type(model)


def code_files(names: GeneratedNames, model: nn.Module) -> dict[str, str]:
    """File name → source, for the configuration and the model."""
    embedding = any(isinstance(module, LowRankEmbedding) for module in model.modules())
    return {
        CONFIGURATION_FILE: render(f"{CONFIGURATION_FILE}.jinja", names=names, embedding=embedding),
        MODELING_FILE: render(
            f"{MODELING_FILE}.jinja",
            names=names,
            low_rank_linear=source_of(LowRankLinear),
            low_rank_embedding=source_of(LowRankEmbedding) if embedding else None,
        ),
    }


def source_of(layer: type[LowRankLinear] | type[LowRankEmbedding]) -> str:
    """The class as core has it, without the constructor that takes core's own Factors."""
    source = inspect.getsource(layer)
    return source.replace(inspect.getsource(layer.from_factors) + "\n", "")
