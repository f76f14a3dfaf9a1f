"""The tasks known by name: where their data lies on the hub, their columns and their metric.

The labels of GLUE's test splits are not public: its validation splits are the test here, and a
tenth of train is held out for every choice.
"""

from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, ValidateAs

from core.recipe.sources import HubDataset
from core.recipe.splits import NamedSplits
from core.recipe.task import (
    CausalLm,
    NamedTask,
    QuestionAnswering,
    Task,
    TaskName,
    TextClassification,
    TextRegression,
    TokenClassification,
)

CONLL_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")


def expanded(task: NamedTask) -> Task:
    """The task in full, with an unpinned dataset."""
    config, dataset, splits, columns = _KNOWN[task.name]
    fields: dict[str, Any] = {
        **columns,
        "dataset": dataset,
        "splits": splits.model_copy(update={"max_rows": task.max_rows}),
    }
    if task.max_length is not None:
        fields["max_length"] = task.max_length
    return config(**fields)


def _glue(config: str, **columns: str) -> tuple[type[Task], HubDataset, NamedSplits, Any]:
    splits = NamedSplits(
        validation=None, test="validation_matched" if config == "mnli" else "validation"
    )
    kind = TextRegression if config == "stsb" else TextClassification
    return kind, HubDataset(id="nyu-mll/glue", config=config), splits, columns


_KNOWN: dict[str, tuple[type[Task], HubDataset, NamedSplits, dict[str, Any]]] = {
    "glue/cola": _glue("cola", text="sentence", metric="matthews"),
    "glue/mnli": _glue("mnli", text="premise", text_pair="hypothesis"),
    "glue/mrpc": _glue("mrpc", text="sentence1", text_pair="sentence2", metric="f1"),
    "glue/qnli": _glue("qnli", text="question", text_pair="sentence"),
    "glue/qqp": _glue("qqp", text="question1", text_pair="question2", metric="f1"),
    "glue/rte": _glue("rte", text="sentence1", text_pair="sentence2"),
    "glue/sst2": _glue("sst2", text="sentence"),
    "glue/stsb": _glue("stsb", text="sentence1", text_pair="sentence2"),
    "glue/wnli": _glue("wnli", text="sentence1", text_pair="sentence2"),
    "conll2003": (
        TokenClassification,
        HubDataset(id="eriktks/conll2003", revision="refs/convert/parquet"),
        NamedSplits(),
        {"tags": "ner_tags", "tag_names": CONLL_TAGS},
    ),
    "squad": (
        QuestionAnswering,
        HubDataset(id="rajpurkar/squad"),
        NamedSplits(validation=None, test="validation"),
        {},
    ),
    "wikitext-2": (
        CausalLm,
        HubDataset(id="Salesforce/wikitext", config="wikitext-2-raw-v1"),
        NamedSplits(),
        {},
    ),
}


def _named(value: Any) -> Any:
    known = isinstance(value, str) and value in get_args(TaskName)
    return {"type": "named", "name": value} if known else value


def _concrete(task: Any) -> Task:
    return expanded(task) if isinstance(task, NamedTask) else task


TaskField = Annotated[
    Task,
    ValidateAs(
        Annotated[Task | NamedTask, Field(discriminator="type"), BeforeValidator(_named)],
        instantiation_hook=_concrete,
    ),
]
"""A task, in full or by name; a name alone is short for {"type": "named", "name": …}."""
