"""A run from recipe to artifact, as a stream of events.

    for event in run(recipe, Workspace(directory, cache, model, dataset)):
        print(event)

Failures are exceptions of core.errors. Closing the iterator stops the run at a safe point; calling
`run` again with the same workspace goes on from there.
"""

import os
from collections.abc import Generator

import torch

from core.compression.memory import refuse_too_little_memory
from core.compression.methods.default import STAGES
from core.compression.methods.stage import perform
from core.compression.run_state import Run
from core.compression.workspace import Workspace
from core.recipe import Recipe
from core.recipe.events import Event, RunSucceeded


def run(recipe: Recipe, workspace: Workspace) -> Generator[Event, None, None]:
    """Everything that the recipe asks for, once.

    The same recipe, versions and thread count give the same weights, byte for byte, on CPU.

    Raises:
        CompressionError: the recipe, the model or the data is refused, or the numbers fail.
    """
    be_deterministic(workspace.threads)
    state = Run.begin(recipe, workspace)
    refuse_too_little_memory(recipe, state.targets, state.checkpoint.params, workspace.device)
    for name in recipe.method.stages:
        yield from perform(STAGES[name], state)
    yield RunSucceeded(result=state.read("export", "result.json"))


def be_deterministic(threads: int) -> None:
    """Sums are taken in one order. Each stage that draws random numbers seeds its own."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
