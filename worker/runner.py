"""The process that computes: one attempt of one job, killable at any moment.

It reads an Assignment from stdin, runs the pipeline, and writes events to the descriptor that the
assignment names. It knows no database and no queue, and exits when its stdin closes.
"""

import contextlib
import ctypes
import errno
import json
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO

from core.errors import CompressionError, DeviceMemoryError, DiskFullError
from core.recipe import Recipe
from core.recipe.events import Event, RunFailed, RunnerReady, RunStopped, StageStarted
from worker.assignment import Assignment
from worker.device import choose_device
from worker.inputs import STAGE, bring_dataset, bring_model

NICENESS = 10
FIRST_TO_GO = "1000"
PR_SET_PDEATHSIG = 1
ORPHANED = 3
"""Exit status when the supervisor is gone."""


def main() -> None:
    die_with_supervisor()
    yield_to_others()
    stdin = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    assignment = Assignment.model_validate_json(stdin.readline())
    stop = watch_stdin(stdin)
    with claim_events(assignment.events_fd) as events:
        for event in run(assignment, stop):
            events.write(event.model_dump_json().encode() + b"\n")


def die_with_supervisor() -> None:
    """On Linux the kernel ends an orphan at once; everywhere else the closing of stdin does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def yield_to_others() -> None:
    """Where processor time is short others go first; where memory is, Linux ends this one first."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)


def watch_stdin(stdin: IO[bytes]) -> threading.Event:
    """An event that a stop line sets; the end of stdin ends the process.

    Unbuffered: a buffer's lock, held by a thread that waits, aborts the interpreter at its exit.
    """
    stop = threading.Event()

    def watch() -> None:
        while stdin.readline():
            stop.set()
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="stdin", daemon=True).start()
    return stop


def claim_events(descriptor: int) -> IO[bytes]:
    """The stream of events; what libraries print to stdout goes to the log."""
    os.set_inheritable(descriptor, False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(descriptor, "wb", buffering=0)


def run(assignment: Assignment, stop: threading.Event) -> Iterator[Event]:
    """One attempt's events, from the first import of torch to the terminal one."""
    stage: str | None = None
    try:
        device = choose_device(assignment.device)
        yield prepare(device, assignment.threads)
        stage = STAGE
        with contextlib.closing(compress(assignment, device)) as events:
            for event in events:
                stage = event.stage if isinstance(event, StageStarted) else stage
                yield event
                if event.type == "run.succeeded":
                    return
                if stop.is_set():
                    break
    except Exception as error:
        yield failure(error, stage)
    else:
        yield RunStopped(stage=stage)


def prepare(device: str, threads: int) -> RunnerReady:
    import torch

    torch.set_num_threads(threads)
    return RunnerReady(
        device=device,
        threads=threads,
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": version("transformers"),
        },
    )


def compress(assignment: Assignment, device: str) -> Generator[Event, None, None]:
    """Bring model and dataset here, then run the pipeline on them."""
    from core.compression.pipeline import run as run_pipeline
    from core.compression.workspace import Workspace

    recipe = Recipe.model_validate_json(json.dumps(assignment.recipe))
    model = yield from bring_model(assignment)
    dataset = yield from bring_dataset(assignment)
    workspace = Workspace(
        directory=assignment.directory,
        cache=assignment.cache,
        model=model,
        dataset=dataset,
        device=device,
        threads=assignment.threads,
    )
    yield from run_pipeline(recipe, workspace)


def failure(error: Exception, stage: str | None) -> RunFailed:
    """What the caller is told; the trace goes to the worker's log only."""
    traceback.print_exception(error, file=sys.stderr)
    if out_of_memory(error):
        error = DeviceMemoryError("the device has too little memory for this run")
    if disk_is_full(error):
        error = DiskFullError(
            "the worker's disk has no room left for this run",
            hint="make room, then retry: finished stages and checkpoints are kept",
        )
    if not isinstance(error, CompressionError):
        kind = type(error).__name__
        message = f"the run broke with {kind}; the worker's log has the trace"
        return RunFailed(stage=stage, code="internal_error", message=message)
    return RunFailed(
        stage=stage,
        code=error.code,
        message=error.message,
        hint=error.hint,
        retryable=error.retryable,
        pointer=error.pointer,
    )


def disk_is_full(error: Exception) -> bool:
    """Also where a library says so in its own words only."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError)


if __name__ == "__main__":
    main()
