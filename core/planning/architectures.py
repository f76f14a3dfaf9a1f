"""Which architectures transformers can load, and what stands before their base model's names.

Read from a file, because planning imports no transformers; a test compares the two.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("architectures.json")
AUTO_CLASSES = {
    "AutoModelForSequenceClassification": "sequence",
    "AutoModelForTokenClassification": "token",
    "AutoModelForQuestionAnswering": "span",
    "AutoModelForCausalLM": "causal",
}
HEADS = {
    "text-classification": "sequence",
    "regression": "sequence",
    "token-classification": "token",
    "question-answering": "span",
    "causal-lm": "causal",
}
"""The head that each task needs; embeddings need none."""


@cache
def architectures() -> Mapping[str, Mapping[str, str]]:
    """Model type → head → prefix of the base model inside the model with that head."""
    known: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return known
