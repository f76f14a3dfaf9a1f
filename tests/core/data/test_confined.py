"""What a parquet file made to harm its reader does: nothing to the process that asks."""

from pathlib import Path

import pyarrow as pa
import pytest

from core.data.confined import summarize_confined
from core.data.preview import first_rows, summarize
from core.errors import DataError
from tests.core.data.parquet_files import ANSWERS, write_parquet


def bomb(path: Path, items: int) -> Path:
    """One list of so many missing items: no bytes on disk, eight each and more in memory."""
    nothing = pa.nulls(items, pa.int64())
    lists = pa.ListArray.from_arrays(pa.array([0, items], pa.int32()), nothing)
    write_parquet(path, {"x": lists})
    assert path.stat().st_size < 1000
    return path


def test_a_good_file_is_described_as_it_is_in_this_process(tmp_path: Path) -> None:
    columns = {"text": ["ü", None] * 9, "answers": [ANSWERS] * 18}
    path = write_parquet(tmp_path / "t.parquet", columns)
    expected = summarize(path, "parquet"), first_rows(path, "parquet")
    assert summarize_confined(path, "parquet") == expected
    look, _ = summarize_confined(path, "parquet", most=5)
    assert (look.rows, look.whole) == (5, False)


def test_a_refusal_comes_back_whole(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"x": [b"bytes"]})
    with pytest.raises(DataError, match="column 'x' holds bytes") as refused:
        summarize_confined(path, "parquet")
    assert refused.value.hint == "write texts with the type string"


def test_a_bomb_goes_off_elsewhere(tmp_path: Path) -> None:
    path = bomb(tmp_path / "t.parquet", 60_000_000)
    with pytest.raises(DataError, match="takes too much memory to read"):
        summarize_confined(path, "parquet", max_memory_bytes=1 << 30)


def test_a_reader_that_dies_is_a_refusal(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"x": [1]})
    with pytest.raises(DataError, match="its reader fails"):
        summarize_confined(path, "parquet", max_memory_bytes=1 << 27)


def test_text_formats_are_read_here(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    summary, rows = summarize_confined(path, "csv")
    assert (summary.rows, rows) == (1, [{"a": "1"}])
