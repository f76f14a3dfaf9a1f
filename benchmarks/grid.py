"""Tables as resumable grids: one committed line per cell.

A cell is a key (what was varied) and what was measured under it. Finished cells stand as JSON lines
in benchmarks/grids/; a grid that is started again computes only those that are not there.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

FOLDER = Path(__file__).parent / "grids"

Cell = dict[str, Any]


class Grid:
    """The cells of one table, in the order in which they were measured."""

    def __init__(self, path: Path | str):
        self.path = FOLDER / path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.commit = commit()

    def __iter__(self) -> Iterator[Cell]:
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)

    def find(self, key: Mapping[str, Any]) -> Cell | None:
        """The finished cell of this key."""
        return next((cell for cell in self if cell.items() >= dict(key).items()), None)

    def cell(self, key: Mapping[str, Any], compute: Callable[[], Mapping[str, Any]]) -> Cell:
        """The cell of this key, computed and written down unless it stands there already."""
        found = self.find(key)
        if found is not None:
            return found
        started = perf_counter()
        measured = compute()
        cell = {
            **key,
            **measured,
            "seconds": round(perf_counter() - started, 1),
            "commit": self.commit,
            "threads": torch.get_num_threads(),
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(cell, allow_nan=False) + "\n")
        print(f"{self.path.stem}: {', '.join(f'{k}={v}' for k, v in cell.items())}", flush=True)
        return cell


def commit() -> str:
    """What the code is at this moment; cells that were added since are no change to it."""
    changed = git("diff", "--name-only", "HEAD", "--", ".", ":!benchmarks/grids")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def git(*arguments: str) -> str:
    command = ["git", "-C", str(FOLDER.parents[1]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ("---", *("---:" for _ in header[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
