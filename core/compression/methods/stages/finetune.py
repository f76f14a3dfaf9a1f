"""finetune: recover what factorization lost, on the task or with the dense model as teacher."""

from functools import partial
from pathlib import Path

from safetensors.torch import save_model
from torch import Tensor

from core.compression.finetuning.balance import balance_factors
from core.compression.finetuning.recovery import recovery
from core.compression.finetuning.training import train
from core.compression.methods.compressed import load_compressed
from core.compression.methods.seeds import stage_seed
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.training_checkpoints import open_checkpoints
from core.compression.methods.validation import Validation
from core.compression.models.layers import linear_layer
from core.compression.progress import Notice
from core.compression.run_state import Run, write_json
from core.errors import RecipeError
from core.recipe.training import NoFinetune


class Finetune(Stage):
    name = "finetune"

    def nothing_to_do(self, run: Run) -> str | None:
        return None if run.recipe.recovers else "the recipe asks for none"

    def compute(self, run: Run, folder: Path) -> Work:
        config = run.recipe.finetune
        assert not isinstance(config, NoFinetune)
        checkpoints = yield from open_checkpoints(run, self.name, config)
        model = load_compressed(run, "factorize")
        if config.balance:
            balance_factors(model)
        chosen = recovery(config, run.task, run.load_dense, partial(pruned_weights, run))
        with chosen.around(model):
            report = yield from train(
                model,
                run.examples["train"],
                chosen.objective,
                Validation(run, run.examples["validation"]),
                config,
                checkpoints,
                seed=stage_seed(run.recipe.seed, self.name),
                device=run.device,
                hooks=chosen.hooks,
                pointer="/finetune",
            )
        if report.keeps_start:
            yield Notice(
                "Fine-tuning did not improve on the factorized model, which is kept as it was.",
                "warning",
            )
        save_model(model, str(folder / "model.safetensors"))
        write_json(folder / "training.json", report.as_json())

    def summary(self, run: Run) -> Summary:
        training: Summary = run.read(self.name, "training.json")
        return training


def pruned_weights(run: Run) -> dict[str, Tensor]:
    """Of every factorized layer.

    Raises:
        RecipeError: there is none.
    """
    names = [layer.name for layer in run.plan.layers if layer.rank is not None]
    if not names:
        raise RecipeError(
            "The plan leaves every layer dense: there are no factors to mix with pruned weights.",
            hint="Lower the budget, or set finetune to 'none'.",
            pointer="/finetune",
        )
    model = run.load_unfactorized()
    return {name: linear_layer(model, name).weight.detach() for name in names}
