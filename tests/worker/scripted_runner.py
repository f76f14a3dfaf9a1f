"""A real process that speaks the runner's protocol and does what the recipe's name says.

The name is a list of steps: ``progress:20:0.05`` (20 reports, 50 ms apart), ``crash``, ``exit:5``,
``hang``, ``deaf`` (as hang, but blind to stop requests), ``fail``, ``babble``, ``hold:64`` (MB of
memory, from a child too), ``fill:8`` (MB of the workspace), ``once:<step>`` (only in this job's
first attempt), ``succeed``. It keeps ``progress.json`` in the workspace, so
that a later attempt goes on where an earlier one was killed.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

stdin = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
assignment = json.loads(stdin.readline())
folder = Path(assignment["directory"])
events = os.fdopen(assignment["events_fd"], "wb", buffering=0)
stop = threading.Event()
deaf = False


def watch() -> None:
    while stdin.readline():
        stop.set()
    os._exit(3)


def report(kind: str, **fields: Any) -> None:
    events.write(json.dumps({"type": kind, **fields}).encode() + b"\n")


def stand_down_if_asked() -> None:
    if stop.is_set() and not deaf:
        report("run.stopped", stage="resolve")
        sys.exit(0)


def rest(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        stand_down_if_asked()
        time.sleep(min(left, 0.02))


def progress(count: str, seconds: str) -> None:
    done_file = folder / "progress.json"
    done = json.loads(done_file.read_text()) if done_file.exists() else 0
    report("stage.started", stage="resolve", fingerprint="f" * 64)
    for step in range(done + 1, int(count) + 1):
        rest(float(seconds))
        done_file.with_suffix(".new").write_text(json.dumps(step))
        done_file.with_suffix(".new").rename(done_file)
        report("stage.progress", stage="resolve", done=step, total=int(count), unit="steps")
    report("stage.finished", stage="resolve", fingerprint="f" * 64, seconds=0.1)


def hang() -> None:
    rest(3600)


def go_deaf() -> None:
    global deaf
    deaf = True
    rest(3600)


def fail() -> None:
    report("run.failed", stage="plan", code="budget_below_floor", message="too small", hint="more")
    sys.exit(1)


def hold(megabytes: str) -> None:
    """Half of it in a child: what a runner starts counts as its own."""
    half = int(megabytes) << 19
    hoard = f"import time; held = b'x' * {half}; time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", hoard])
    held = b"x" * half
    rest(60)
    del held


def fill(megabytes: str) -> None:
    (folder / "ballast").write_bytes(b"x" * (int(megabytes) << 20))
    rest(60)


def babble() -> None:
    events.write(b"this is no event\n")
    rest(3600)


def succeed() -> None:
    artifact = folder / "artifact"
    (artifact / "sub").mkdir(parents=True, exist_ok=True)
    files = {"model.safetensors": b"weights" * 1000, "sub/config.json": b'{"model_type": "x"}'}
    for name, content in files.items():
        (artifact / name).write_bytes(content)
    report(
        "artifact.ready",
        directory="artifact",
        files=[
            {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        ],
    )
    report("run.succeeded", result={"attempt": assignment["epoch"]})
    rest(5)


def once(*step: str) -> None:
    if assignment["epoch"] == 1:
        take(*step)


def take(name: str, *arguments: str) -> None:
    {
        "progress": progress,
        "crash": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "exit": lambda code: sys.exit(int(code)),
        "hang": hang,
        "deaf": go_deaf,
        "fail": fail,
        "babble": babble,
        "hold": hold,
        "fill": fill,
        "succeed": succeed,
        "once": once,
    }[name](*arguments)


threading.Thread(target=watch, daemon=True).start()
report("runner.ready", device="cpu", threads=1, versions={"python": "3"})
for step in assignment["recipe"]["name"].split():
    take(*step.split(":"))
