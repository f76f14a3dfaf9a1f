"""finetune: recover what factorization lost, on the task or with the dense model as teacher."""

from pathlib import Path

from safetensors.torch import save_model

from core.compression.finetuning.checkpoint import CheckpointFolder
from core.compression.finetuning.distill import Distillation
from core.compression.finetuning.training import Objective, train
from core.compression.methods.compressed import load_compressed
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.validation import Validation
from core.compression.progress import Notice
from core.compression.run_state import Run, write_json
from core.recipe.training import DistillFinetune, NoFinetune, PlainFinetune


class Finetune(Stage):
    name = "finetune"

    def nothing_to_do(self, run: Run) -> str | None:
        return "the recipe asks for none" if run.recipe.finetune.type == "none" else None

    def compute(self, run: Run, folder: Path) -> Work:
        config = run.recipe.finetune
        assert not isinstance(config, NoFinetune)
        model = load_compressed(run, "factorize")
        report = yield from train(
            model,
            run.examples["train"],
            objective(run, config),
            Validation(run, run.examples["validation"]),
            config,
            CheckpointFolder(run.checkpoints(self.name), config.checkpoint_seconds),
            seed=stage_seed(run.recipe.seed, self.name),
            device=run.device,
        )
        if report.best_epoch == 0:
            yield Notice(
                "Fine-tuning did not improve on the factorized model, which is kept as it was.",
                "warning",
            )
        save_model(model, str(folder / "model.safetensors"))
        write_json(folder / "training.json", report.as_json())

    def summary(self, run: Run) -> Summary:
        training: Summary = run.read(self.name, "training.json")
        return training


def objective(run: Run, config: PlainFinetune | DistillFinetune) -> Objective:
    if config.type == "plain":
        return run.task.training_losses
    return Distillation(run.task, run.load_dense(), config)
