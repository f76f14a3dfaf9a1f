"""Where one run works: its folder, its resolved inputs, and the project's cache."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folder survives attempts of the same job: finished stages and checkpoints are found here.

    `cache` is shared by the jobs of one project; entries appear in it by atomic rename.
    """

    directory: Path
    cache: Path
    model: Path
    """Hugging Face folder of the model that the recipe names."""
    dataset: Path
    """The table that the recipe names, or a folder with a sub-folder for each split."""
    device: str = "cpu"
    threads: int = 1
