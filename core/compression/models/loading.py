"""Models and tokenizers from a local folder, without running or fetching anything foreign.

Safetensors only, no code from the checkpoint, no hub, a fixed attention implementation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from core.errors import ModelError
from core.planning.families import FAMILIES

LOCAL: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)


@dataclass(frozen=True)
class LoadedModel:
    model: nn.Module
    new_head: bool
    """The head was initialized here: the checkpoint has none for these labels."""


def load_model(
    folder: Path,
    auto_class: str,
    label_names: tuple[str, ...] = (),
    *,
    keep_head: bool = True,
    pad_token_id: int | None = None,
    device: str = "cpu",
) -> LoadedModel:
    """A model of this transformers Auto class in float32, in eval mode.

    Labels, where there are any, go into its config. The checkpoint's head is kept if asked for and
    if it has one of this many labels; else torch's random state initializes a new one. A decoder
    that classifies texts reads the last token that is not `pad_token_id`.

    Raises:
        ModelError: the folder cannot be loaded safely, holds a compressed model, or one of an
            architecture that has no such class.
    """
    config = load_config(folder)
    if label_names:
        config.id2label = dict(enumerate(label_names))
        config.label2id = {name: number for number, name in enumerate(label_names)}
    try:
        model, loading = _quietly(
            getattr(transformers, auto_class).from_pretrained,
            folder,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            attn_implementation=attention(auto_class, config),
            dtype=torch.float32,
            **LOCAL,
        )
    except UNREADABLE as error:
        raise ModelError(f"The model cannot be loaded: {error}", pointer="/model") from error
    new = {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}
    _refuse_new_body(model, new)
    if not keep_head:
        _initialize_head(model)
    if auto_class == "AutoModelForSequenceClassification":
        _agree_on_padding(model.config, pad_token_id)
    return LoadedModel(model.to(device).eval(), new_head=_heads(model, new) or not keep_head)


def attention(auto_class: str, config: Any) -> str:
    """The fastest implementation that the model's class has on every device."""
    classes = getattr(transformers, auto_class)._model_mapping
    has_sdpa = type(config) not in classes or classes[type(config)]._supports_sdpa
    return "sdpa" if has_sdpa else "eager"


def _agree_on_padding(config: Any, pad_token_id: int | None) -> None:
    """An encoder's own is left: its positions are counted by it."""
    family = FAMILIES.get(config.model_type)
    missing = getattr(config, "pad_token_id", None) is None
    if pad_token_id is not None and (missing or (family is not None and family.reads_forward)):
        config.pad_token_id = pad_token_id


def load_config(folder: Path) -> Any:
    """The checkpoint's config.

    Raises:
        ModelError: it is unreadable, or of an already compressed model.
    """
    try:
        config = _quietly(AutoConfig.from_pretrained, folder, **LOCAL)
    except UNREADABLE as error:
        raise ModelError(f"config.json cannot be read: {error}", pointer="/model") from error
    if config.model_type.startswith("rankwise-"):
        raise ModelError(
            f"This model is already compressed ({config.model_type}).",
            hint="Name the dense model that it was made from.",
            pointer="/model",
        )
    return config


def own_label_names(folder: Path) -> tuple[str, ...]:
    """The labels of the checkpoint's head, by number; what it calls them may say nothing."""
    names = load_config(folder).id2label
    return tuple(str(names[number]) for number in sorted(names))


def load_tokenizer(folder: Path, options: Mapping[str, Any] | None = None) -> Any:
    """The folder's tokenizer; of `options` those that this kind of tokenizer has.

    One without a padding token pads with the token that ends a text.

    Raises:
        ModelError: it is missing (transformers would make up an empty one), or needs code of its
            own.
    """
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise ModelError(
            "The model's folder holds no tokenizer.",
            hint="Save it beside the model: tokenizer.save_pretrained(…)",
            pointer="/model",
        )
    tokenizer = _read_tokenizer(folder)
    known = {name: value for name, value in (options or {}).items() if hasattr(tokenizer, name)}
    tokenizer = _read_tokenizer(folder, **known) if known else tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _read_tokenizer(folder: Path, **options: Any) -> Any:
    try:
        return _quietly(AutoTokenizer.from_pretrained, folder, **LOCAL, **options)
    except UNREADABLE as error:
        raise ModelError(f"The tokenizer cannot be loaded: {error}", pointer="/model") from error


def save_model_folder(model: Any, folder: Path) -> None:
    """Config and safetensors, as transformers saves them."""
    _quietly(model.save_pretrained, folder)


def _refuse_new_body(model: Any, new: set[str]) -> None:
    missing = sorted(key for key in new if _is_body(model, key) and not _is_pooler(key))
    if missing:
        raise ModelError(
            f"The checkpoint lacks {len(missing)} of the model's weights, {missing[0]!r} first.",
            pointer="/model",
        )


def _heads(model: Any, new: set[str]) -> bool:
    """Whether anything new is (a part of) the head: poolers only classifiers read."""
    return any(not is_base(model) or not _is_pooler(key) for key in new)


def _is_body(model: Any, key: str) -> bool:
    return is_base(model) or key.startswith(f"{model.base_model_prefix}.")


def _is_pooler(key: str) -> bool:
    return "pooler." in key


def is_base(model: Any) -> bool:
    """It has no head, and its layers' names no prefix."""
    return model.base_model is model


def _initialize_head(model: Any) -> None:
    for name, module in model.named_modules():
        if name and not name.startswith(model.base_model_prefix):
            for parameter in module.parameters():
                parameter._is_hf_initialized = False  # transformers skips what it has loaded
            model._init_weights(module)


def _quietly(load: Any, *arguments: Any, **options: Any) -> Any:
    """Without progress bars and load reports on the terminal."""
    bars, verbosity = (
        transformers_logging.is_progress_bar_enabled(),
        transformers_logging.get_verbosity(),
    )
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return load(*arguments, **options)
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
