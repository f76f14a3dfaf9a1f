"""What transformers knows: for every model type, its classes for our tasks and their base prefix.

Planning imports no torch, so it reads this from a file that stands beside it. After transformers
was changed:

    python -m core.compression.models.architectures
"""

import importlib
import json
from collections.abc import Iterator

from transformers.models.auto import modeling_auto

from core.planning.architectures import AUTO_CLASSES, FILE

TABLES = {
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForTokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForQuestionAnswering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
}


def class_names(model_type: str) -> dict[str, str]:
    """By Auto class; of those that our tasks use, those that this model type has."""
    found = {auto: getattr(modeling_auto, table).get(model_type) for auto, table in TABLES.items()}
    return {auto: name for auto, name in found.items() if isinstance(name, str)}


def model_types() -> list[str]:
    """Every model type that has a class for one of our tasks."""
    return sorted({key for table in TABLES.values() for key in getattr(modeling_auto, table)})


def base_prefix(class_name: str) -> str:
    """What stands before the names of the base model inside this class."""
    return str(getattr(importlib.import_module("transformers"), class_name).base_model_prefix)


def described() -> Iterator[tuple[str, dict[str, str]]]:
    for model_type in model_types():
        prefixes = {auto: base_prefix(name) for auto, name in class_names(model_type).items()}
        yield model_type, {AUTO_CLASSES[auto]: prefix for auto, prefix in prefixes.items()}


def main() -> None:
    lines = [f"{json.dumps(model_type)}: {json.dumps(own)}" for model_type, own in described()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
