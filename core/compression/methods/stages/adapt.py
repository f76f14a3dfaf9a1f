"""adapt: fine-tune the dense model on the task, where its head is new or the recipe asks for it."""

from pathlib import Path

from core.compression.finetuning.training import train
from core.compression.methods.pretrained import load_pretrained
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.training_checkpoints import open_checkpoints
from core.compression.methods.validation import Validation, refuse_hopeless
from core.compression.models.loading import save_model_folder
from core.compression.run_state import Run, write_json


class Adapt(Stage):
    name = "adapt"
    cached = True

    def nothing_to_do(self, run: Run) -> str | None:
        return None if run.resolved.adapts else run.resolved.reason

    def compute(self, run: Run, folder: Path) -> Work:
        config, resolved = run.recipe.adaptation, run.resolved
        seed = stage_seed(run.recipe.dense_seed, self.name)
        checkpoints = yield from open_checkpoints(run, self.name, config)
        model = load_pretrained(run)
        report = yield from train(
            model,
            run.examples["train"],
            run.task.training_losses,
            Validation(run, run.examples["validation"]),
            config,
            checkpoints,
            seed=seed,
            device=run.device,
            pointer="/adaptation",
        )
        refuse_hopeless(report.after, run.task, resolved)
        save_model_folder(model, folder)
        write_json(folder / "training.json", report.as_json())

    def summary(self, run: Run) -> Summary:
        training: Summary = run.read(self.name, "training.json")
        return training
