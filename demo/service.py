"""Start the embedded service for the demo, and stop it with everything it started."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30


@dataclass(frozen=True)
class Service:
    url: str
    key: str
    pid: int


@contextmanager
def running_service(data_dir: Path, model_roots: Path, **settings: str) -> Iterator[Service]:
    """`make serve`, on a free port, with its own data folder and more settings as wanted."""
    data_dir.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = os.environ | {
        "RANKWISE_DATA_DIR": str(data_dir),
        "RANKWISE_MODEL_ROOTS": str(model_roots),
        "RANKWISE_PORT": str(port),
        **settings,
    }
    log = (data_dir / "service.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "core.embedded"], env=environment, stdout=log, stderr=log
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, data_dir / "service.log")
        key = (data_dir / "bootstrap-key").read_text().strip()
        yield Service(url=url, key=key, pid=process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_TIMEOUT_S)
        log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"The service ended while starting; its log is {log}")
        try:
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"The service was not ready after {START_TIMEOUT_S} s; its log is {log}")
