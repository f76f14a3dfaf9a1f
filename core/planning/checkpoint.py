"""A model on disk, read without its numbers: config, tensor shapes, sizes and a digest.

Nothing here runs, unpickles or imports what the folder holds. Every refusal is a ModelError at
/model/path; what is accepted is still only ever loaded inside a runner.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import ModelError, RecipeError
from core.planning.headers import (
    FLOATING,
    MAX_TENSORS,
    TensorInfo,
    parse_object,
    read_header,
    refused,
    shown,
)
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
MAX_JSON_BYTES = 4 * 2**20
MAX_SHARDS = 256
SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.safetensors", re.ASCII)
MAX_INTEGER = 1_000_000
MAX_LAYERS = 1000
SETTLED_NS = 2_000_000_000
"""A file changed later than this ago may change again without its time stamp showing it."""
BUILT_IN_ATTENTION = (None, "eager", "sdpa", "flash_attention_2", "flex_attention")

TIED_COPIES = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
    "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
    "lm_head.decoder.bias": "lm_head.bias",
    "generator_lm_head.weight": "embeddings.word_embeddings.weight",
    "vocab_projector.weight": "embeddings.word_embeddings.weight",
}
"""Tensors that old checkpoints store a second time, and the end of the first one's name."""


@dataclass(frozen=True)
class Checkpoint:
    folder: Path
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
        return _read(folder)
    except OSError as error:
        raise refused(f"the model cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise refused("a JSON file of the model is nested too deeply") from error


def _read(folder: Path) -> Checkpoint:
    _refuse_links(folder)
    config = _read_config(folder)
    _refuse_foreign_code(folder)
    files = _weight_files(folder)
    tensors = _read_tensors(files)
    return Checkpoint(
        folder=folder,
        config=config,
        model_type=config["model_type"],
        architectures=tuple(config.get("architectures") or ()),
        tensors=tensors,
        bytes=sum(tensor.bytes for tensor in tensors.values()),
        params=_count_params(tensors, tied=config.get("tie_word_embeddings", True) is not False),
        digest=_digest(folder, files),
    )


def resolve_under_roots(
    path: str,
    roots: Sequence[Path],
    *,
    pointer: str = "/model/path",
    error: type[RecipeError] = ModelError,
) -> Path:
    """The real path of an existing file or folder under one of the roots, links resolved.

    A relative path is looked for under each root. Raises `error` at `pointer` for anything else; a
    path outside the roots gets the same answer whether it exists or not.
    """
    if ".." in Path(path).parts or "\0" in path:
        raise error("the path must not contain '..' or a zero byte", pointer=pointer)
    candidates = (Path(root, path) for root in roots)
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


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _lies_under(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root.resolve()) for root in roots)


def _refuse_links(folder: Path) -> None:
    if not folder.is_dir():
        raise refused("the model's path is not a folder")
    for entry in folder.iterdir():
        if entry.is_symlink():
            raise refused(
                f"{shown(entry.name)} is a link", hint="copy the files themselves: cp -rL"
            )


def _read_bounded(path: Path) -> bytes:
    if not path.is_file():
        raise refused(f"the model's folder has no {path.name}")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise refused(f"{path.name} is over {MAX_JSON_BYTES >> 20} MB")
    return path.read_bytes()


def _read_config(folder: Path) -> dict[str, Any]:
    config = parse_object(_read_bounded(folder / "config.json"), "config.json")
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


def _refuse_foreign_code(folder: Path) -> None:
    """Refuse references to Python files or kernels, in the config and in the tokenizer's."""
    for name in ("config.json", "tokenizer_config.json"):
        if not (folder / name).exists():
            continue
        for key, value in _items(parse_object(_read_bounded(folder / name), name)):
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


def _weight_files(folder: Path) -> tuple[Path, ...]:
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / INDEX).is_file():
        return tuple(_shard(folder, name) for name in _shard_names(folder))
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        raise refused(
            "the weights are pickled, and pickles can run code",
            hint="save it with safe_serialization: model.save_pretrained(…)",
        )
    raise refused(f"the model's folder has neither {WEIGHTS} nor {INDEX}")


def _shard_names(folder: Path) -> list[str]:
    weight_map = parse_object(_read_bounded(folder / INDEX), INDEX).get("weight_map")
    if not (isinstance(weight_map, dict) and weight_map):
        raise refused(f"{INDEX} has no weight_map")
    names = list(weight_map.values())
    if not all(isinstance(name, str) for name in names) or len(set(names)) > MAX_SHARDS:
        raise refused(f"{INDEX} must name at most {MAX_SHARDS} files")
    return sorted(set(names))


def _shard(folder: Path, name: str) -> Path:
    """Only a plain name of a safetensors file beside the index is a shard."""
    if not SHARD_NAME.fullmatch(name):
        raise refused(f"{INDEX} names {shown(name)}, which is no safetensors file of this folder")
    if not (folder / name).is_file():
        raise refused(f"the model's folder has no {name}, which {INDEX} names")
    return folder / name


def _read_tensors(files: Iterable[Path]) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        for name, tensor in read_header(file).items():
            if name in tensors:
                raise refused(f"{file.name} repeats the tensor {shown(name)}")
            tensors[name] = tensor
        if len(tensors) > MAX_TENSORS:
            raise refused(f"the checkpoint has more than {MAX_TENSORS:,} tensors")
    return tensors


def _count_params(tensors: Mapping[str, TensorInfo], tied: bool) -> int:
    copies = {name for name in TIED_COPIES if name in tensors and _is_copy(name, tensors)}
    counted = tensors.keys() - copies if tied else tensors.keys()
    return sum(tensors[name].size for name in counted if tensors[name].dtype in FLOATING)


def _is_copy(name: str, tensors: Mapping[str, TensorInfo]) -> bool:
    source = TIED_COPIES[name]
    return any(
        other.endswith(source) and tensor.shape == tensors[name].shape
        for other, tensor in tensors.items()
    )


def _digest(folder: Path, weights: Sequence[Path]) -> str:
    tokenizer = (folder / name for name in TOKENIZER_FILES)
    index = (folder / INDEX,) if len(weights) > 1 else ()
    files = [folder / "config.json", *weights, *index, *filter(Path.is_file, tokenizer)]
    return fingerprint({file.name: _content_hash(file) for file in files})


def _content_hash(path: Path) -> str:
    status = path.stat()
    if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
        return _sha256(path)
    return _settled_hash(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _settled_hash(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """Remembered for as long as the file looks untouched."""
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
