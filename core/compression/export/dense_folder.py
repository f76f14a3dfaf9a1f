"""An artifact as a plain model again: its factors multiplied back, under the family's own type."""

import shutil
from pathlib import Path

from core.compression.export.generated_code import names_for
from core.compression.export.loading import load_artifact
from core.compression.export.weights import write_dense
from core.planning.checkpoint import TOKENIZER_FILES


def write_dense_folder(artifact: Path, folder: Path) -> None:
    """Config and weights of the dense model, and the artifact's tokenizer as it is.

    Equal artifacts give equal bytes on CPU.

    Raises:
        ModelError: the folder is no artifact, or its weights do not fit its config.
    """
    folder.mkdir(parents=True)
    model = load_artifact(artifact)
    write_dense(folder, model, names_for(model))
    for name in TOKENIZER_FILES:
        if (artifact / name).is_file():
            shutil.copyfile(artifact / name, folder / name)
