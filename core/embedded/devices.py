"""Which devices get a worker. torch is asked in another process, and only where it can matter."""

import subprocess
import sys
from pathlib import Path

from core.settings import REPOSITORY

GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))


def devices(setting: str) -> list[str]:
    """The device that the setting names; for `auto` every accelerator, or else the CPU."""
    if setting != "auto":
        return [setting]
    if sys.platform != "darwin" and not any(driver.exists() for driver in GPU_DRIVERS):
        return ["cpu"]
    asked = subprocess.run(
        [sys.executable, "-m", "worker.device"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.split()
