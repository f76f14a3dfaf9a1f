"""resolve: what this model and this data are, and whether they fit."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
from torch import nn

from core.compression.evaluation.predictions import predict
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.validation import Validation, refuse_hopeless
from core.compression.models.factorized import verify_targets
from core.compression.models.loading import LoadedModel, load_model, own_label_names
from core.compression.progress import Progress
from core.compression.run_state import Resolved, Run, write_json
from core.compression.tasks.examples import Examples
from core.compression.tasks.splits import SPLITS
from core.errors import ModelError
from core.planning.positions import longest_text, refuse_longer


class Resolve(Stage):
    name = "resolve"

    def compute(self, run: Run, folder: Path) -> Work:
        _refuse_misfits(run)
        own = run.task.labels_of_head(own_label_names(run.workspace.model), run.data)
        names = run.data.label_names if own is None else own
        loaded = load_model(
            run.workspace.model,
            run.task.auto_class,
            names,
            keep_head=own is not None,
            pad_token_id=run.tokenizer.pad_token_id,
        )
        verify_targets(loaded.model, run.targets)
        adapts, reason = _adaptation(run, loaded)
        run.task.check(run.recipe.adapt, run.recipe.finetune, new_head=loaded.new_head)
        model, validation = loaded.model.to(run.device), run.tokenized("validation", names)
        if run.task.labels_from_model:
            validation = yield from _answers(run, model, names, folder)
        resolved = Resolved(
            label_names=names,
            keep_head=not loaded.new_head,
            adapts=adapts,
            reason=reason,
            metric=run.task.headline,
            baseline=run.task.baseline(validation),
            rows=run.splits.sizes,
            splits_hash=run.splits.hash,
        )
        if not adapts and resolved.baseline is not None:
            found = yield from Validation(run, validation)(model)
            refuse_hopeless(found, run.task, resolved)
        write_json(folder / "resolved.json", resolved.model_dump(mode="json"))

    def summary(self, run: Run) -> Summary:
        resolved = run.resolved
        return {
            "labels": len(resolved.label_names),
            **{f"{name}_rows": rows for name, rows in resolved.rows.items()},
            "target_layers": len(run.targets),
            "adapts": resolved.adapts,
        }


def _adaptation(run: Run, loaded: LoadedModel) -> tuple[bool, str]:
    """Whether the dense model is fine-tuned first, and why."""
    adapt, new_head = run.recipe.adapt, loaded.new_head
    if adapt == "never" and new_head:
        raise ModelError(
            "The model has no head for these labels, and adapt is 'never'.",
            hint="Set adapt to 'auto', or name a model fine-tuned on these labels.",
            pointer="/adapt",
        )
    reasons = {
        "always": "the recipe asks for it",
        "never": "the recipe forbids it",
        "auto": "the head is new" if new_head else "the model comes with a head for this task",
    }
    return adapt == "always" or new_head, reasons[adapt]


def _answers(
    run: Run, model: nn.Module, names: tuple[str, ...], folder: Path
) -> Generator[Progress, None, Examples]:
    """Keep the model's answers to every split, which are the labels; the validation split's."""
    labelled: dict[str, Examples] = {}
    for split in SPLITS:
        examples = run.tokenized(split, names)
        size = run.recipe.evaluation.batch_size
        outputs = yield from predict(model, run.task, examples, size, run.device, f"{split} row")
        np.savez(folder / f"answers-{split}.npz", **outputs)  # type: ignore[arg-type]
        labelled[split] = run.task.relabelled(examples, outputs)
    return labelled["validation"]


def _refuse_misfits(run: Run) -> None:
    assert run.targets, "finding them refuses a family that cannot do the task"
    for longest in (longest_text(run.checkpoint.config), run.tokenizer.model_max_length):
        refuse_longer(run.recipe.task.max_length, longest)
    if run.tokenizer.pad_token is None and run.recipe.task.type != "causal-lm":
        raise ModelError(
            "The tokenizer has neither a token to pad with nor one that ends a text.",
            hint="Give it one and save it again: tokenizer.pad_token = …",
            pointer="/model",
        )
