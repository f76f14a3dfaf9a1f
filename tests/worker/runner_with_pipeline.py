"""The real runner on a pipeline of the test's own: `python runner_with_pipeline.py <what>`."""

import errno
import os
import sys
import time
import types
from collections.abc import Iterator

from core.compression.workspace import Workspace
from core.errors import BudgetError
from core.recipe import Recipe
from core.recipe.events import Event, LogLine, RunSucceeded, StageStarted
from worker import runner

what = sys.argv[1]


def run(recipe: Recipe, workspace: Workspace) -> Iterator[Event]:
    print("printed by a library")
    yield StageStarted(stage="plan", fingerprint="f" * 64)
    if what == "refuse":
        raise BudgetError("below the floor", hint="keep more", pointer="/budget/value")
    if what == "break":
        raise ValueError("a secret path")
    if what == "starve":
        raise MemoryError
    if what == "fill":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if what == "fill by a library":
        raise RuntimeError("write failed: No space left on device (os error 28)")
    try:
        while what == "tick":
            time.sleep(0.02)
            yield LogLine(level="info", message="tick")
    finally:
        (workspace.directory / "closed").write_text("yes")
    yield RunSucceeded(result={"name": recipe.name})


pipeline = types.ModuleType("core.compression.pipeline")
pipeline.run = run  # type: ignore[attr-defined]
sys.modules["core.compression.pipeline"] = pipeline
runner.main()
