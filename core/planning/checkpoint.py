"""A model's files, read without their numbers: config, tensor shapes, sizes and a digest.

Nothing here runs, unpickles or imports what the files hold. Every refusal is a ModelError at
/model/path; what is accepted is still only ever loaded inside a runner.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import ModelError, RecipeError
from core.planning.headers import (
    FLOATING,
    MAX_TENSORS,
    TensorInfo,
    Tensors,
    parse_object,
    read_header,
    refused,
    shown,
)
from core.planning.model_files import ModelFiles, files_in
from core.recipe.recipe import fingerprint

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
VOCABULARIES = frozenset(
    {
        *("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model"),
        *("sentencepiece.bpe.model", "tokenizer.model"),
    }
)
"""A tokenizer has at least one of these."""
MAX_JSON_BYTES = 4 * 2**20
MAX_SHARDS = 256
SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.safetensors", re.ASCII)
MAX_INTEGER = 1_000_000
MAX_LAYERS = 1000
BUILT_IN_ATTENTION = (None, "eager", "sdpa", "flash_attention_2", "flex_attention")

TIED_COPIES: dict[str, str | tuple[str, ...]] = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
    "lm_head.weight": ("embed_tokens.weight", "wte.weight"),
    "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
    "lm_head.decoder.bias": "lm_head.bias",
    "generator_lm_head.weight": "embeddings.word_embeddings.weight",
    "vocab_projector.weight": "embeddings.word_embeddings.weight",
}
"""Tensors that some checkpoints store a second time, and the end of the first one's name."""
BUFFERS = (".attn.bias", ".attn.masked_bias")
"""Masks that old GPT-2 checkpoints keep as floating-point tensors, by the end of their names."""
UNTIED_UNLESS_SAID = {"llama", "mistral", "qwen2", "qwen3"}


@dataclass(frozen=True)
class Checkpoint:
    config: Mapping[str, Any]
    model_type: str
    architectures: tuple[str, ...]
    tensors: Mapping[str, TensorInfo]
    bytes: int
    """Of all tensors."""
    params: int
    """Floating-point numbers, tied ones once; integer buffers are none."""
    digest: str
    """SHA-256 over the contents of config, weights and tokenizer: equal folders, equal digests."""


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a Hugging Face folder, from its config and its safetensors headers.

    Raises ModelError for what is missing, malformed, out of bounds, or would need foreign code.
    """
    try:
        return checkpoint_of(files_in(folder))
    except OSError as error:
        raise refused(f"the model cannot be read: {error.strerror}") from error


def checkpoint_of(files: ModelFiles, *, hashed: bool = True) -> Checkpoint:
    """The same of files anywhere. Equal files give equal checkpoints, wherever they lie.

    Not hashed, no file is read whole, and the digest is empty.
    """
    try:
        config = read_config(files)
        _refuse_foreign_code(files)
        return described(config, read_tensors(files), digest_of(files) if hashed else "")
    except RecursionError as error:
        raise refused("a JSON file of the model is nested too deeply") from error


def described(config: dict[str, Any], tensors: Tensors, digest: str) -> Checkpoint:
    return Checkpoint(
        config=config,
        model_type=config["model_type"],
        architectures=tuple(config.get("architectures") or ()),
        tensors=tensors,
        bytes=sum(tensor.bytes for tensor in tensors.values()),
        params=_count_params(tensors, tied=is_tied(config)),
        digest=digest,
    )


def names_of(files: ModelFiles) -> list[str]:
    """The files that a run reads: config, weights with their index, tokenizer."""
    weights = _weight_names(files)
    index = [INDEX] if WEIGHTS not in files.names else []
    return ["config.json", *weights, *index, *_tokenizer_names(files)]


def resolve_under_roots(
    path: str,
    roots: Sequence[Path],
    *,
    pointer: str = "/model/path",
    error: type[RecipeError] = ModelError,
) -> Path:
    """The real path of an existing file or folder under one of the roots.

    A relative path is looked for under each root; a link below a root is never followed. Raises
    `error` at `pointer` for anything else; a path outside the roots gets the same answer whether it
    exists or not.
    """
    if ".." in Path(path).parts or "\0" in path:
        raise error("the path must not contain '..' or a zero byte", pointer=pointer)
    candidates = [Path(root, path) for root in roots]
    link = next((each for each in map(partial(_link_below, roots), candidates) if each), None)
    if link is not None:
        raise error(
            f"{shown(link.name)} on the path is a link, and links are not followed",
            hint="name the folder itself, or copy it under the root",
            pointer=pointer,
        )
    inside = [found for found in map(_resolved, candidates) if found and _lies_under(found, roots)]
    if not inside:
        raise error(
            "the path does not lie under a configured root",
            hint="ask the operator which folders are open to recipes",
            pointer=pointer,
        )
    existing = next(filter(os.path.exists, inside), None)
    if existing is None:
        raise error("nothing exists at the path", pointer=pointer)
    return existing


def _link_below(roots: Sequence[Path], path: Path) -> Path | None:
    """The first link on the way that lies in a root; a root itself may be one."""
    for step in (*reversed(path.parents), path):
        try:
            is_link = step.is_symlink() and step not in roots
        except (OSError, ValueError):
            return None
        parent = _resolved(step.parent) if is_link else None
        if parent and _lies_under(parent, roots):
            return step
    return None


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _lies_under(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root.resolve()) for root in roots)


def _read_object(files: ModelFiles, name: str) -> dict[str, Any]:
    if name not in files.names:
        raise refused(f"the model's folder has no {name}")
    if files.size(name) > MAX_JSON_BYTES:
        raise refused(f"{name} is over {MAX_JSON_BYTES >> 20} MB")
    return parse_object(files.read(name, 0, MAX_JSON_BYTES), name)


def read_config(files: ModelFiles) -> dict[str, Any]:
    """config.json, every number in it bounded."""
    config = _read_object(files, "config.json")
    _refuse_large_integers("config", config)
    architectures = config.get("architectures") or []
    if not (isinstance(architectures, list) and all(isinstance(a, str) for a in architectures)):
        raise refused("config.json: architectures must be a list of names")
    if not isinstance(config.get("model_type"), str):
        raise refused("config.json names no model_type")
    if config.get("quantization_config") is not None:
        raise refused("the weights are quantized", hint="save the model dequantized first")
    return config


def _refuse_large_integers(name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, nested in value.items():
            _refuse_large_integers(key, nested)
    elif isinstance(value, list):
        for nested in value:
            _refuse_large_integers(name, nested)
    elif isinstance(value, int):
        bound = MAX_LAYERS if name.endswith("layers") else MAX_INTEGER
        if abs(value) > bound:
            raise refused(f"config.json: {shown(name)} is beyond ±{bound:,}")


def _refuse_foreign_code(files: ModelFiles) -> None:
    """Refuse references to Python files or kernels, in the config and in the tokenizer's."""
    for name in ("config.json", "tokenizer_config.json"):
        if name not in files.names:
            continue
        for key, value in _items(_read_object(files, name)):
            if key in {"auto_map", "custom_pipelines"}:
                raise refused(
                    f"{name} has {key}: the model needs code of its own, which is never run",
                    hint="save it with an architecture that transformers knows itself",
                )
            if "attn_implementation" in key and value not in BUILT_IN_ATTENTION:
                raise refused(f"{name}: {shown(key)} names a kernel to load")


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(value, dict):
        yield from value.items()
    nested = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in nested:
        yield from _items(each)


def _weight_names(files: ModelFiles) -> list[str]:
    if WEIGHTS in files.names:
        return [WEIGHTS]
    if INDEX in files.names:
        return [_shard(files, name) for name in _shard_names(files)]
    if any(name.endswith((".bin", ".pt", ".pth")) for name in files.names):
        raise refused(
            "the weights are pickled, and pickles can run code",
            hint="save it with safe_serialization: model.save_pretrained(…)",
        )
    raise refused(f"the model's folder has neither {WEIGHTS} nor {INDEX}")


def _shard_names(files: ModelFiles) -> list[str]:
    weight_map = _read_object(files, INDEX).get("weight_map")
    if not (isinstance(weight_map, dict) and weight_map):
        raise refused(f"{INDEX} has no weight_map")
    names = list(weight_map.values())
    if not all(isinstance(name, str) for name in names) or len(set(names)) > MAX_SHARDS:
        raise refused(f"{INDEX} must name at most {MAX_SHARDS} files")
    return sorted(set(names))


def _shard(files: ModelFiles, name: str) -> str:
    """Only a plain name of a safetensors file beside the index is a shard."""
    if not SHARD_NAME.fullmatch(name):
        raise refused(f"{INDEX} names {shown(name)}, which is no safetensors file of this folder")
    if name not in files.names:
        raise refused(f"the model's folder has no {name}, which {INDEX} names")
    return name


def read_tensors(files: ModelFiles) -> Tensors:
    """Every tensor of the weights, from the headers alone."""
    tensors: Tensors = {}
    for file in _weight_names(files):
        found = read_header(partial(files.read, file), files.size(file), file)
        for name, tensor in found.items():
            if name in tensors:
                raise refused(f"{file} repeats the tensor {shown(name)}")
            tensors[name] = tensor
        if len(tensors) > MAX_TENSORS:
            raise refused(f"the checkpoint has more than {MAX_TENSORS:,} tensors")
    return tensors


def _count_params(tensors: Mapping[str, TensorInfo], tied: bool) -> int:
    copies = {name for name in TIED_COPIES if name in tensors and _is_copy(name, tensors)}
    counted = tensors.keys() - copies if tied else tensors.keys()
    return sum(tensors[name].size for name in counted if is_parameter(name, tensors[name]))


def is_parameter(name: str, tensor: TensorInfo) -> bool:
    """And no buffer."""
    masks = name.endswith(BUFFERS) and len(tensor.shape) != 1
    return tensor.dtype in FLOATING and not masks


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether a head for tokens, if there is one, shares the token embedding."""
    by_default = config["model_type"] not in UNTIED_UNLESS_SAID
    return config.get("tie_word_embeddings", by_default) is not False


def _is_copy(name: str, tensors: Mapping[str, TensorInfo]) -> bool:
    sources = TIED_COPIES[name]
    return any(
        other.endswith(sources) and tensor.shape == tensors[name].shape
        for other, tensor in tensors.items()
    )


def digest_of(files: ModelFiles) -> str:
    """SHA-256 over names and contents of config, weights, index of several, and tokenizer."""
    weights = _weight_names(files)
    index = [INDEX] if len(weights) > 1 else []
    names = ["config.json", *weights, *index, *_tokenizer_names(files)]
    return fingerprint({name: files.sha256(name) for name in names})


def _tokenizer_names(files: ModelFiles) -> list[str]:
    return [name for name in TOKENIZER_FILES if name in files.names]
