"""What a search has measured so far, on disk, so that an interrupted one measures nothing twice."""

import json
from pathlib import Path
from typing import Any

from core.compression.run_state import write_json


class Journal:
    """Measurements by name. Each stands in the file, whole, before the next one is begun."""

    def __init__(self, path: Path):
        self._path = path
        self._entries: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Any:
        return self._entries[name]

    def record(self, name: str, measured: Any) -> None:
        self._entries[name] = measured
        write_json(self._path, self._entries)
