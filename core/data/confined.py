"""A table summarized in a process of its own: what a hostile parquet file does, it does there.

The library that unpacks parquet is native code: a file made for it may take memory without end, or
the whole process with it. Text formats are read where they are.
"""

import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.data.preview import TableSummary, first_rows, summarize
from core.data.tables import TableFormat
from core.data.values import Row
from core.errors import DataError

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MAX_MEMORY_BYTES = 3 << 30
"""Of address space; about half a GiB is the interpreter and the library."""
MAX_CPU_S = 1200


def summarize_confined(
    path: Path,
    format: TableFormat,
    most: int | None = None,
    *,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> tuple[TableSummary, list[Row]]:
    """The summary and the first rows.

    Raises:
        DataError: what `summarize` raises; or the reader was killed by what it read.
    """
    if format != "parquet":
        return summarize(path, format, most), first_rows(path, format)
    arguments = [str(path.absolute()), str(most or 0), str(max_memory_bytes)]
    command = [sys.executable, "-m", "core.data.confined", *arguments]
    # Arrow's own allocator reserves address space that the limit would count.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True)
    if ended.returncode != 0:
        hint = "write it again, or as jsonl"
        raise DataError("the parquet file cannot be read: its reader fails", hint=hint)
    answer = json.loads(ended.stdout)
    if "refused" in answer:
        raise DataError(answer["refused"], hint=answer["hint"])
    return TableSummary.model_validate(answer["summary"]), answer["rows"]


def _answer(path: Path, most: int | None) -> dict[str, Any]:
    try:
        summary = summarize(path, "parquet", most)
        return {"summary": summary.model_dump(mode="json"), "rows": first_rows(path, "parquet")}
    except DataError as error:
        return {"refused": error.message, "hint": error.hint}


def _main(path: str, most: str, max_memory_bytes: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    with suppress(ValueError):  # macOS has the name of this limit, and no such limit
        resource.setrlimit(resource.RLIMIT_AS, (int(max_memory_bytes),) * 2)
    print(json.dumps(_answer(Path(path), int(most) or None)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
