"""Tiny parquet files in the layouts that the real hub has for the tasks known by name."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.core.data.parquet_files import write_parquet
from tests.hub.server import StandInHub

Columns = dict[str, Any]

LABELS = pa.array([0, 1, 0, 1], pa.int64())
GLUE_TEXTS: dict[str, tuple[str, ...]] = {
    "cola": ("sentence",),
    "mnli": ("premise", "hypothesis"),
    "mrpc": ("sentence1", "sentence2"),
    "qnli": ("question", "sentence"),
    "qqp": ("question1", "question2"),
    "rte": ("sentence1", "sentence2"),
    "sst2": ("sentence",),
    "stsb": ("sentence1", "sentence2"),
    "wnli": ("sentence1", "sentence2"),
}
ONE_SHARD = "00000-of-00001.parquet"


def glue_columns(config: str) -> Columns:
    texts = {name: [f"{name} {n}" for n in range(4)] for name in GLUE_TEXTS[config]}
    label = pa.array([0.0, 1.5, 5.0, 3.2], pa.float32()) if config == "stsb" else LABELS
    return {**texts, "label": label, "idx": pa.array(range(4), pa.int32())}


def write_glue(root: Path) -> Path:
    for config in GLUE_TEXTS:
        splits = ["train", "validation", "test"]
        if config == "mnli":
            splits = ["train", "validation_matched", "validation_mismatched", "test_matched"]
        for split in splits:
            write_parquet(root / config / f"{split}-{ONE_SHARD}", glue_columns(config))
    (root / "README.md").write_text("# GLUE\n")
    return root


def write_conll(root: Path) -> Path:
    """As the hub converts a dataset that is a script: a folder for each split."""
    numbers = pa.array([[3, 0], [0, 1]], pa.list_(pa.int64()))
    columns = {
        "id": ["0", "1"],
        "tokens": [["EU", "rejects"], ["German", "call"]],
        "pos_tags": numbers,
        "chunk_tags": numbers,
        "ner_tags": numbers,
    }
    for split in ("train", "validation", "test"):
        write_parquet(root / "conll2003" / split / "0000.parquet", columns)
    return root


def write_squad(root: Path) -> Path:
    columns = {
        "id": ["a", "b"],
        "title": ["Film", "Film"],
        "context": ["It is a film.", "It is a song."],
        "question": ["What is it?", "What is that?"],
        "answers": pa.array(
            [{"text": ["a film"], "answer_start": [6]}] * 2,
            pa.struct({"text": pa.list_(pa.string()), "answer_start": pa.list_(pa.int32())}),
        ),
    }
    for split in ("train", "validation"):
        write_parquet(root / "plain_text" / f"{split}-{ONE_SHARD}", columns)
    return root


def write_wikitext(root: Path) -> Path:
    for config in ("wikitext-103-raw-v1", "wikitext-2-raw-v1", "wikitext-2-v1"):
        for split in ("train", "validation", "test"):
            write_parquet(root / config / f"{split}-{ONE_SHARD}", {"text": ["", " = Film = \n"]})
    return root


def serve_known_datasets(hub: StandInHub, folder: Path) -> None:
    """The sources of every task known by name."""
    hub.add("dataset", "nyu-mll/glue", write_glue(folder / "glue"))
    hub.add("dataset", "rajpurkar/squad", write_squad(folder / "squad"))
    hub.add("dataset", "Salesforce/wikitext", write_wikitext(folder / "wikitext"))
    hub.add(
        "dataset",
        "eriktks/conll2003",
        write_conll(folder / "conll"),
        branches=("refs/convert/parquet",),
    )


def fetched(root: Path, files: dict[str, list[str]], destination: Path) -> Path:
    """A folder as the worker's download leaves it: a sub-folder for each split."""
    for split, names in files.items():
        (destination / split).mkdir(parents=True)
        for name in names:
            shutil.copyfile(root / name, destination / split / Path(name).name)
    return destination
