"""resolve: what this model and this data are, and whether they fit."""

from collections.abc import Generator
from pathlib import Path

import torch

from core.compression.evaluation.predictions import predict
from core.compression.finetuning.checkpoint import Score
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.models.loading import (
    Classifier,
    load_classifier,
    load_config,
    own_label_names,
)
from core.compression.progress import Progress
from core.compression.run_state import Resolved, Run, write_json
from core.compression.tasks.text_classification import Examples, names_in_head, tokenize
from core.errors import HopelessModelError, ModelError, RecipeError

POSITIONS_BEFORE_FIRST = {"roberta": 2}
"""Position embeddings that no token uses."""


class Resolve(Stage):
    name = "resolve"

    def compute(self, run: Run, folder: Path) -> Work:
        _refuse_longer_than_model(run)
        names = run.texts.label_names
        own = names_in_head(own_label_names(run.workspace.model), names)
        classifier = load_classifier(run.workspace.model, own or names, keep_head=own is not None)
        resolved = _decide(run, classifier, own)
        if not resolved.adapts:
            yield from _refuse_hopeless_as_it_came(run, classifier, resolved)
        write_json(folder / "resolved.json", resolved.model_dump(mode="json"))

    def summary(self, run: Run) -> Summary:
        resolved = run.resolved
        return {
            "labels": len(resolved.label_names),
            **{f"{name}_rows": rows for name, rows in resolved.rows.items()},
            "target_layers": len(run.targets),
            "adapts": resolved.adapts,
        }


def _decide(run: Run, classifier: Classifier, own: tuple[str, ...] | None) -> Resolved:
    new_head = classifier.new_head
    if run.recipe.adapt == "never" and new_head:
        raise ModelError(
            "The model has no head for these labels, and adapt is 'never'.",
            hint="Set adapt to 'auto', or name a model fine-tuned on these labels.",
            pointer="/adapt",
        )
    reasons = {
        "always": "the recipe asks for it",
        "never": "the recipe forbids it",
        "auto": "the head is new" if new_head else "the model comes with a head for these labels",
    }
    return Resolved(
        label_names=own or run.texts.label_names,
        keep_head=not new_head,
        adapts=run.recipe.adapt == "always" or new_head,
        reason=reasons[run.recipe.adapt],
        majority_rate=run.texts.majority_rate(run.splits.validation),
        rows=run.splits.sizes,
        splits_hash=run.splits.hash,
    )


def _refuse_longer_than_model(run: Run) -> None:
    config = load_config(run.workspace.model)
    unused = POSITIONS_BEFORE_FIRST.get(config.model_type, 0)
    longest = min(config.max_position_embeddings - unused, run.tokenizer.model_max_length)
    if run.recipe.task.max_length > longest:
        raise RecipeError(
            f"The model reads at most {longest} tokens.",
            hint=f"Set max_length to {longest} or less.",
            pointer="/task/max_length",
        )


def _refuse_hopeless_as_it_came(run: Run, classifier: Classifier, resolved: Resolved) -> Work:
    texts = run.texts.renumbered(resolved.label_names)
    validation = tokenize(texts, run.splits.validation, run.tokenizer, run.recipe.task.max_length)
    model = classifier.model.to(run.device)
    score = yield from validate(run, model, validation)
    refuse_hopeless(score, resolved)


def validate(
    run: Run, model: torch.nn.Module, validation: Examples
) -> Generator[Progress, None, Score]:
    """Accuracy and loss on the validation split, which every choice is made on."""
    batch_size = run.recipe.evaluation.batch_size
    logits = yield from predict(model, validation, batch_size, run.device, "validation row")
    answers, labels = torch.from_numpy(logits), validation.labels
    loss = float(torch.nn.functional.cross_entropy(answers, labels))
    return Score(float((answers.argmax(1) == labels).double().mean()), -loss)


def refuse_hopeless(score: Score, resolved: Resolved) -> None:
    """
    Raises:
        HopelessModelError: the dense model is no better than always answering one label.
    """
    if score.accuracy > resolved.majority_rate:
        return
    raise HopelessModelError(
        f"The dense model is right on {score.accuracy:.1%} of the validation split; always "
        f"answering its most frequent label is right on {resolved.majority_rate:.1%}.",
        hint="Adapt it for longer or at another learning rate, or check text and label columns.",
        pointer="/adaptation" if resolved.adapts else "/adapt",
    )
