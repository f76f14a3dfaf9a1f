"""Recipes that must be refused: what was changed, the pointer and the code that must come."""

from collections.abc import Callable
from typing import Any

from tests.api.conftest import Json

Change = Callable[[Json], Any]


def at(path: str, value: Any) -> Change:
    """Set the field at a dotted path."""

    def change(recipe: Json) -> None:
        *parents, last = path.split(".")
        node = recipe
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value

    return change


def without(path: str) -> Change:
    def change(recipe: Json) -> None:
        *parents, last = path.split(".")
        node = recipe
        for parent in parents:
            node = node[parent]
        del node[last]

    return change


KFAC = {"type": "kfac"}
HUB = {"type": "hub", "id": "org/model"}
RECIPES: list[tuple[str, Change, str, str]] = [
    # what, change, pointer, code of the first error
    ("unknown field", at("colour", "red"), "/colour", "extra_forbidden"),
    ("field with a slash and a tilde", at("a/b~c", 1), "/a~1b~0c", "extra_forbidden"),
    ("model missing", without("model"), "/model", "missing"),
    ("model of unknown type", at("model.type", "ftp"), "/model/type", "union_tag_invalid"),
    ("model without type", without("model.type"), "/model/type", "union_tag_not_found"),
    ("model path empty", at("model.path", ""), "/model/path", "string_too_short"),
    ("model path not under a root", at("model.path", "/etc"), "/model/path", "model_refused"),
    ("model path climbs", at("model.path", "tiny/../../x"), "/model/path", "model_refused"),
    ("model does not exist", at("model.path", "nowhere"), "/model/path", "model_refused"),
    ("hub id climbs", at("model", HUB | {"id": "org/.."}), "/model/id", "string_pattern_mismatch"),
    ("hub id has a scheme", at("model", HUB | {"id": "https://x/y"}), "/model/id", ""),
    ("hub revision climbs", at("model", HUB | {"revision": "../x"}), "/model/revision", ""),
    ("hub id missing", at("model", {"type": "hub"}), "/model/id", "missing"),
    ("uploaded model's id", at("model", {"type": "upload", "id": "x"}), "/model/id", ""),
    (
        "uploaded model unknown",
        at("model", {"type": "upload", "id": "md_" + "0" * 26}),
        "/model/id",
        "model_refused",
    ),
    (
        "job unknown",
        at("model", {"type": "job", "id": "job_" + "0" * 26}),
        "/model/id",
        "model_refused",
    ),
    ("field of another source", at("model.revision", "main"), "/model/revision", "extra_forbidden"),
    ("named task unknown", at("task", {"type": "named", "name": "glue/x"}), "/task/name", ""),
    ("task not an object", at("task", "glue/x"), "/task", ""),
    ("splits of unknown type", at("task.splits", {"type": "x"}), "/task/splits/type", ""),
    ("named splits, no column", at("task.splits", {"type": "named"}), "/task/splits/column", ""),
    (
        "named splits, column missing",
        at("task.splits", {"type": "named", "column": "fold"}),
        "/task/splits/column",
        "data_refused",
    ),
    (
        "named splits doubled",
        at("task.splits", {"type": "named", "column": "text", "test": "train"}),
        "/task/splits/test",
        "refused",
    ),
    ("metric unknown", at("task.metric", "bleu"), "/task/metric", "literal_error"),
    ("label null", at("task.label", None), "/task/label", "refused"),
    ("labels twice", at("task.labels", "from_model"), "/task/label", "refused"),
    ("label_map to a number", at("task.label_map", {"good": 1}), "/task/label_map/good", ""),
    (
        "label_map of no label",
        at("task.label_map", {"fine": "x"}),
        "/task/label_map",
        "data_refused",
    ),
    ("field of another task", at("task.tokens", "words"), "/task/tokens", "extra_forbidden"),
    ("regression on words", at("task.type", "regression"), "/task/label", "data_refused"),
    ("task of unknown type", at("task.type", "poetry"), "/task/type", "union_tag_invalid"),
    ("dataset missing", without("task.dataset"), "/task/dataset", "missing"),
    ("dataset id", at("task.dataset.id", "7"), "/task/dataset/id", "string_pattern_mismatch"),
    (
        "dataset unknown",
        at("task.dataset.id", "ds_" + "0" * 26),
        "/task/dataset/id",
        "data_refused",
    ),
    (
        "dataset path not under a root",
        at("task.dataset", {"type": "path", "path": "/etc/passwd"}),
        "/task/dataset/path",
        "data_refused",
    ),
    ("text column missing", at("task.text", "body"), "/task/text", "data_refused"),
    ("pair column missing", at("task.text_pair", "b"), "/task/text_pair", "data_refused"),
    ("label column missing", at("task.label", "y"), "/task/label", "data_refused"),
    ("columns not distinct", at("task.label", "text"), "/task/label", "refused"),
    ("max_length too small", at("task.max_length", 1), "/task/max_length", "greater_than_equal"),
    ("shares do not sum", at("task.splits", {"train": 0.5}), "/task/splits/train", "refused"),
    (
        "rows of a split",
        at("task.splits", {"max_rows": {"train": 1}}),
        "/task/splits/max_rows/train",
        "greater_than_equal",
    ),
    ("keep_ratio 0", at("budget.value", 0.0), "/budget/value", "greater_than"),
    ("keep_ratio 1.5", at("budget.value", 1.5), "/budget/value", "less_than_equal"),
    ("keep_ratio NaN", at("budget.value", float("nan")), "/budget/value", "finite_number"),
    ("keep_ratio in quotes", at("budget.value", "0.3"), "/budget/value", "float_type"),
    ("keep_ratio true", at("budget.value", True), "/budget/value", "float_type"),
    ("below the floor", at("budget.value", 0.001), "/budget/value", "budget_below_floor"),
    (
        "params below the floor",
        at("budget", {"type": "params", "value": 10}),
        "/budget/value",
        "budget_below_floor",
    ),
    (
        "bytes below the floor",
        at("budget", {"type": "bytes", "value": 895}),
        "/budget/value",
        "budget_below_floor",
    ),
    (
        "max_drop of another task's metric",
        at("budget", {"type": "max_drop", "metric": "perplexity", "abs": 0.1}),
        "/budget/metric",
        "refused",
    ),
    (
        "max_drop below 0",
        at("budget", {"type": "max_drop", "abs": -0.1}),
        "/budget/abs",
        "greater_than_equal",
    ),
    ("budget of unknown type", at("budget.type", "tons"), "/budget/type", "union_tag_invalid"),
    ("budget field unknown", at("budget.unit", "MB"), "/budget/unit", "extra_forbidden"),
    ("method unknown", at("method.type", "magic"), "/method/type", "union_tag_invalid"),
    ("method not an object", at("method", "svd"), "/method", "dict_type"),
    (
        "field of another method",
        at("method.input_damping", 0.1),
        "/method/input_damping",
        "extra_forbidden",
    ),
    (
        "damping too large",
        at("method", KFAC | {"output_damping": 2}),
        "/method/output_damping",
        "less_than_equal",
    ),
    ("calibration unused", at("calibration.rows", 64), "/calibration", "refused"),
    ("adaptation unused", at("adapt", "never"), "/adaptation", "refused"),
    ("export unknown", at("exports", ["safetensors", "x"]), "/exports/1", "literal_error"),
    ("export twice", at("exports", ["dense", "dense"]), "/exports", "refused"),
    ("exports empty", at("exports", []), "/exports", "too_short"),
    ("seed negative", at("seed", -1), "/seed", "greater_than_equal"),
    ("seed fractional", at("seed", 1.5), "/seed", "int_type"),
    ("label key", at("labels", {"a b": "x"}), "/labels/a b", "string_pattern_mismatch"),
    ("label value", at("labels", {"a": 1}), "/labels/a", "string_type"),
    ("label named like a mark", at("labels", {"[key]": "x"}), "/labels/[key]", ""),
    ("name too long", at("name", "x" * 201), "/name", "string_too_long"),
    ("null in the name", at("name", "a\0b"), "/name", "null_character"),
    ("null in a label", at("labels", {"a": "\0"}), "/labels/a", "null_character"),
    ("runtime", at("limits.max_runtime_s", 0), "/limits/max_runtime_s", "greater_than_equal"),
    (
        "memory",
        at("limits.max_memory_bytes", 1000),
        "/limits/max_memory_bytes",
        "greater_than_equal",
    ),
    ("queue's name", at("queue", "GPU 1"), "/queue", "string_pattern_mismatch"),
    (
        "keep_dense unknown",
        at("allocation", {"type": "spectrum", "keep_dense": ["x"]}),
        "/allocation/keep_dense",
        "recipe_refused",
    ),
    (
        "keep_dense not a text",
        at("allocation", {"type": "spectrum", "keep_dense": [1]}),
        "/allocation/keep_dense/0",
        "string_type",
    ),
    ("finetune field", at("finetune", {"type": "none", "epochs": 1}), "/finetune/epochs", ""),
    (
        "distill epochs",
        at("finetune", {"type": "distill", "epochs": 0}),
        "/finetune/epochs",
        "greater_than_equal",
    ),
]
ALSO = {
    "adaptation unused": at("adaptation", {"epochs": 1}),
    "export twice": at("budget.value", 0.5),
}
