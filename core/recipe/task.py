"""What the model is for: a task with its data, columns and splits."""

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from core.recipe.config import Array, Config, refusal
from core.recipe.sources import DatasetSource, HubDataset
from core.recipe.splits import ColumnName, SeededSplits, SplitRows, Splits

LabelName = Annotated[str, Field(min_length=1, max_length=256)]


class DataTask(Config):
    """What every task on a dataset has."""

    auto_class: ClassVar[str]
    """The transformers Auto class of models for this task."""
    metric_names: ClassVar[tuple[str, ...]]
    """What is measured of it; some only of some data (f1 of two labels)."""

    dataset: DatasetSource
    max_length: int = Field(default=128, ge=4, le=8192)
    """Tokens per example; longer ones are truncated."""
    splits: Splits = SeededSplits()

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        columns = [c for name in self.column_fields() if (c := getattr(self, name)) is not None]
        if len(set(columns)) < len(columns):
            field = self.column_fields()[-1]
            raise refusal(f"/{field}", "must name another column than the other fields")
        return self

    @model_validator(mode="after")
    def _splits_fit_the_dataset(self) -> Self:
        if self.splits.type == "named":
            apart = isinstance(self.dataset, HubDataset)
            if apart and self.splits.column is not None:
                raise refusal("/splits/column", "has no use: a hub dataset keeps its splits apart")
            if not apart and self.splits.column is None:
                raise refusal("/splits/column", "must name the column that names each row's split")
        return self

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        """The fields that name columns, the one that holds the answer last."""
        raise NotImplementedError


class TextClassification(DataTask):
    """Single texts, or pairs of texts, with one label each."""

    auto_class: ClassVar = "AutoModelForSequenceClassification"
    metric_names: ClassVar = ("accuracy", "f1", "matthews", "loss", "kl")

    type: Literal["text-classification"] = "text-classification"
    text: ColumnName = "text"
    text_pair: ColumnName | None = None
    label: ColumnName | None = "label"
    """None with `labels: from_model`."""
    labels: Literal["column", "from_model"] = "column"
    """`from_model`: the dense model's own answers, where there are no labels."""
    label_map: dict[LabelName, LabelName] = Field(default_factory=dict, max_length=1000)
    """From the data's labels to the model's, where they are called otherwise."""
    metric: Literal["accuracy", "f1", "matthews"] = "accuracy"
    """What is reported first; f1 is of the second of two labels."""

    @model_validator(mode="after")
    def _labels_come_from_one_place(self) -> Self:
        if self.labels == "from_model" and (self.label is not None or self.label_map):
            field = "/label_map" if self.label_map else "/label"
            raise refusal(field, "has no use when labels come from the model: set label to null")
        if self.labels == "column" and self.label is None:
            raise refusal("/label", "must name the column of labels")
        return self

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        return ("text", "text_pair", "label")


class TextRegression(DataTask):
    """Single texts, or pairs of texts, with one number each (Pearson and Spearman)."""

    auto_class: ClassVar = "AutoModelForSequenceClassification"
    metric_names: ClassVar = ("pearson", "spearman", "mse")

    type: Literal["regression"] = "regression"
    text: ColumnName = "text"
    text_pair: ColumnName | None = None
    label: ColumnName = "label"

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        return ("text", "text_pair", "label")


class TokenClassification(DataTask):
    """A list of words and a list of their tags (entity-level F1)."""

    auto_class: ClassVar = "AutoModelForTokenClassification"
    metric_names: ClassVar = ("f1", "precision", "recall", "token_accuracy", "loss", "kl")

    type: Literal["token-classification"] = "token-classification"
    tokens: ColumnName = "tokens"
    tags: ColumnName = "tags"
    tag_names: Array[LabelName] | None = Field(default=None, min_length=2, max_length=1000)
    """By number, where tags are numbers."""

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        return ("tokens", "tags")


class QuestionAnswering(DataTask):
    """The answer to a question is a span of its context (exact match and F1)."""

    auto_class: ClassVar = "AutoModelForQuestionAnswering"
    metric_names: ClassVar = ("f1", "exact_match", "loss", "kl")

    type: Literal["question-answering"] = "question-answering"
    question: ColumnName = "question"
    context: ColumnName = "context"
    answers: ColumnName = "answers"
    """{"text": […], "answer_start": […]} in every row."""
    max_length: int = Field(default=384, ge=32, le=8192)
    doc_stride: int = Field(default=128, ge=0, le=4096)
    """Tokens that neighbouring windows of a long context share."""

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        return ("question", "context", "answers")


class CausalLm(DataTask):
    """Texts whose next token is predicted (perplexity)."""

    auto_class: ClassVar = "AutoModelForCausalLM"
    metric_names: ClassVar = ("perplexity", "loss", "token_accuracy")

    type: Literal["causal-lm"] = "causal-lm"
    text: ColumnName = "text"
    max_length: int = Field(default=512, ge=8, le=8192)
    """Texts are joined and cut into blocks of this many tokens."""

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        return ("text",)


class Embedding(DataTask):
    """Texts whose similarities are to be kept (rank correlation with the dense model's)."""

    auto_class: ClassVar = "AutoModel"
    metric_names: ClassVar = ("similarity_rank", "similarity_error")

    type: Literal["embedding"] = "embedding"
    text: ColumnName = "text"
    pooling: Literal["mean", "cls"] = "mean"

    @classmethod
    def column_fields(cls) -> tuple[str, ...]:
        return ("text",)


TaskName = Literal[
    "glue/cola",
    "glue/mnli",
    "glue/mrpc",
    "glue/qnli",
    "glue/qqp",
    "glue/rte",
    "glue/sst2",
    "glue/stsb",
    "glue/wnli",
    "conll2003",
    "squad",
    "wikitext-2",
]


class NamedTask(Config):
    """A task whose source, columns and metric are known; it becomes one of the others at submit."""

    type: Literal["named"] = "named"
    name: TaskName
    max_length: int | None = Field(default=None, ge=4, le=8192)
    """None keeps the task's own."""
    max_rows: SplitRows = SplitRows()


Task = (
    TextClassification
    | TextRegression
    | TokenClassification
    | QuestionAnswering
    | CausalLm
    | Embedding
)
TASK_TYPES: dict[str, type[DataTask]] = {
    task.model_fields["type"].default: task for task in get_args(Task)
}
