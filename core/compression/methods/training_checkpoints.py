"""Where a trained stage keeps its checkpoints, and what is said of those that it cannot use."""

from collections.abc import Generator, Iterator
from pathlib import Path

from core.compression.finetuning.checkpoint import LAST, CheckpointFolder
from core.compression.progress import Notice
from core.compression.run_state import Run
from core.recipe.training import TrainingConfig


def open_checkpoints(
    run: Run, stage: str, config: TrainingConfig
) -> Generator[Notice, None, CheckpointFolder]:
    """The stage's own, by its fingerprint. Others of the stage are left where they lie: a recipe
    that was changed, or a stage whose algorithm was, begins anew, and the log says why."""
    folder = run.checkpoints(stage)
    if not (folder / LAST).exists():
        for other in others(folder, stage):
            yield Notice(
                f"A training checkpoint of {stage} is refused: it is of other input, {other.name}; "
                f"this run's is {folder.name}. Training begins anew.",
                "warning",
            )
    return CheckpointFolder(
        folder,
        config.checkpoint_seconds,
        config.checkpoint_steps,
        fingerprint=run.fingerprints[stage],
    )


def others(folder: Path, stage: str) -> Iterator[Path]:
    return (path.parent for path in sorted(folder.parent.glob(f"{stage}-*/{LAST}")))
