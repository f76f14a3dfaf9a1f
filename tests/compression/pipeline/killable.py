"""A run in a process of its own: `python -m tests.compression.pipeline.killable RECIPE FOLDERS`.

Each event is one line of JSON, so that whoever listens can kill it at a chosen place.
"""

import json
import sys
from pathlib import Path

from core.compression.pipeline import run
from core.compression.workspace import Workspace
from core.recipe import Recipe


def main() -> None:
    recipe = Recipe.model_validate_json(sys.argv[1])
    folders = {name: Path(path) for name, path in json.loads(sys.argv[2]).items()}
    for event in run(recipe, Workspace(**folders)):
        print(event.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
