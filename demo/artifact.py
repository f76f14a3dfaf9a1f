"""A downloaded artifact: its SHA256SUMS checked, and loaded in a clean process."""

import hashlib
import subprocess
import sys
from pathlib import Path

CLASSIFY = Path(__file__).with_name("classify.py")


def check_sums(folder: Path) -> int:
    """Number of files whose SHA-256 is as SHA256SUMS says; anything else ends the demo."""
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        expected, name = line.split("  ", 1)
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise SystemExit(f"{name} does not have the SHA-256 that SHA256SUMS says")
    return len(lines)


def classify_in_a_clean_process(folder: Path) -> str:
    """Plain transformers, isolated from this project (-I: no current folder, no PYTHONPATH)."""
    command = [sys.executable, "-I", str(CLASSIFY), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise SystemExit(f"The artifact did not load:\n{done.stderr}")
    return done.stdout.rstrip()
