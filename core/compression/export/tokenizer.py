"""The tokenizer's files, the same whatever the tokenizer was used for before."""

import copy
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

HOW_IT_WAS_READ = ("is_local", "local_files_only")
"""Arguments of our own loading that transformers would hand on to the artifact's user."""


def write_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Save a copy that has forgotten the padding and truncation of its last call.

    Fast tokenizers keep both in tokenizer.json, so the bytes would depend on the last batch.
    """
    clean = copy.deepcopy(tokenizer)
    if isinstance(clean, PreTrainedTokenizerFast):
        clean.backend_tokenizer.no_padding()
        clean.backend_tokenizer.no_truncation()
    for key in HOW_IT_WAS_READ:
        clean.init_kwargs.pop(key, None)
    clean.save_pretrained(folder)
