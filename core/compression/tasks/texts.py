"""Single texts or pairs of texts: reading their columns, and tokenizing them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.compression.tasks.data import Data
from core.compression.tasks.rows import SourceRow
from core.errors import DataError


def read_texts(
    rows: Sequence[SourceRow], text: str, text_pair: str | None = None
) -> dict[str, list[Any]]:
    """The columns `text` and, where one is named, `text_pair`.

    Raises:
        DataError: there are no rows, or one has no such text.
    """
    if not rows:
        raise DataError("The dataset holds no rows.", pointer="/task/dataset")
    columns: dict[str, list[Any]] = {"text": [row.text(text, "text") for row in rows]}
    if text_pair is not None:
        columns["text_pair"] = [row.text(text_pair, "text_pair") for row in rows]
    return columns


def tokenize_texts(data: Data, rows: NDArray[np.int64], tokenizer: Any, max_length: int) -> Any:
    """These rows in their order, each truncated to `max_length` tokens.

    A text without tokens, where the tokenizer adds none of its own, is one padding token.
    """
    encodings = tokenizer(
        data.of("text", rows),
        data.of("text_pair", rows) if "text_pair" in data.columns else None,
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
    )
    filling = {"input_ids": tokenizer.pad_token_id or 0, "attention_mask": 1}
    return {
        name: [values or [filling.get(name, 0)] for values in column]
        for name, column in encodings.items()
    }
