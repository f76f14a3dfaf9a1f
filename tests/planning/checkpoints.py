"""Small checkpoints on disk, honest and hostile."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WEIGHTS = "model.safetensors"


def bert_config(**changes: Any) -> dict[str, Any]:
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
        "vocab_size": 10,
    }
    return {k: v for k, v in {**config, **changes}.items() if v is not None}


def bert_tensors(prefix: str = "bert.", blocks: int = 2) -> dict[str, np.ndarray]:
    shapes = {f"{prefix}embeddings.word_embeddings.weight": (10, 4)}
    for block in range(blocks):
        at = f"{prefix}encoder.layer.{block}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value"):
            shapes[f"{at}.{name}.weight"] = (4, 4)
        shapes[f"{at}.attention.output.dense.weight"] = (4, 4)
        shapes[f"{at}.intermediate.dense.weight"] = (8, 4)
        shapes[f"{at}.output.dense.weight"] = (4, 8)
    return {name: np.ones(shape, dtype=np.float32) for name, shape in shapes.items()}


def write_config(folder: Path, config: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def write_bert(folder: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    write_config(folder, bert_config(**config))
    save_file(bert_tensors() if tensors is None else tensors, folder / WEIGHTS)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    return folder


def write_sharded(folder: Path) -> Path:
    write_config(folder, bert_config())
    tensors = sorted(bert_tensors().items())
    weight_map = {}
    for number, part in enumerate((tensors[:5], tensors[5:]), start=1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file(dict(part), folder / shard)
        weight_map |= {name: shard for name, _ in part}
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def raw_file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header at all."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def entry(start: int, stop: int, shape: Any = None, dtype: Any = "F32") -> dict[str, Any]:
    shape = [(stop - start) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}
