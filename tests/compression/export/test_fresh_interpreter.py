"""An artifact as its user meets it: plain transformers, another process, nothing of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.compression.export.artifact import write_artifact
from core.planning.families import FAMILIES
from tests.compression.export.tiny_artifacts import auto_class, contents_for

OWN_TOKENIZER = {"qwen2"}
"""Beside such a config, transformers takes any tokenizer for the family's own."""

TEXTS = ["a very good film", "bad plot", "it not good"]

LOAD = """
import importlib.util, json, sys
assert importlib.util.find_spec("core") is None, "the project is in sight"
import torch, transformers
from transformers import AutoTokenizer, pipeline

order = json.loads(sys.argv[1])
auto_class = getattr(transformers, order["auto_class"])

def load(folder, trust):
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    model = auto_class.from_pretrained(folder, trust_remote_code=trust)
    return tokenizer, model

def describe(tokenizer, model, texts):
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    labels = []
    if order["auto_class"] == "AutoModelForSequenceClassification":
        classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
        labels = [answer["label"] for answer in classify(texts)]
    return {
        "logits": logits.tolist(),
        "dtype": str(logits.dtype),
        "params": sum(p.numel() for p in model.parameters()),
        "kind": type(model).__name__,
        "low_rank": sum(type(m).__name__ == "LowRankLinear" for m in model.modules()),
        "labels": labels,
    }

answers = {}
if "small" in order:
    tokenizer, model = load(order["small"], True)
    answers["small"] = describe(tokenizer, model, order["texts"])
    model.save_pretrained(order["saved_again"])
    tokenizer.save_pretrained(order["saved_again"])
    answers["saved_again"] = describe(*load(order["saved_again"], True), order["texts"])
_, model = load(order["untrusted"], False)
tokenizer = AutoTokenizer.from_pretrained(order["tokenizer"], trust_remote_code=True)
answers["untrusted"] = describe(tokenizer, model, order["texts"])
print(json.dumps(answers))
"""


def run_elsewhere(home: Path, **order: Any) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    settings = {
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(home / "modules"),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-P", "-c", LOAD, json.dumps({"texts": TEXTS, **order})],
        cwd=home,
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=240,
    )


def own_logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def test_plain_transformers_gives_the_evaluated_model(family: str, tmp_path: Path) -> None:
    """The small model, the same saved again by transformers, and dense/ without trust."""
    contents = contents_for(family, exports=["safetensors", "dense"])
    folder = tmp_path / "artifact"
    write_artifact(folder, contents)
    done = run_elsewhere(
        tmp_path,
        auto_class=auto_class(family),
        small=str(folder),
        saved_again=str(tmp_path / "saved again"),
        untrusted=str(folder / "dense"),
        tokenizer=str(folder if family in OWN_TOKENIZER else folder / "dense"),
    )
    assert done.returncode == 0, done.stderr
    assert "MISSING" not in done.stderr
    assert "UNEXPECTED" not in done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    expected = own_logits(contents.model, contents.tokenizer)
    for answer in (answers["small"], answers["saved_again"]):
        assert torch.tensor(answer["logits"]) == pytest.approx(expected, abs=1e-6)
        assert answer["dtype"] == "torch.float32"
        assert answer["kind"].startswith("Rankwise")
        assert answer["params"] == contents.result["params"]["model"]["after"]
        assert answer["low_rank"] == sum(layer.rank is not None for layer in contents.layers)
        named = [] if FAMILIES[family].reads_forward else expected.argmax(1).tolist()
        assert answer["labels"] == [f"label {i}" for i in named]
    dense = answers["untrusted"]
    assert torch.tensor(dense["logits"]) == pytest.approx(expected, abs=1e-5)
    assert dense["params"] == contents.result["params"]["model"]["before"]
    assert dense["low_rank"] == 0


def test_refuses_without_trust(tmp_path: Path) -> None:
    write_artifact(tmp_path / "artifact", contents_for("bert"))
    done = run_elsewhere(
        tmp_path, auto_class=auto_class("bert"), untrusted=str(tmp_path / "artifact")
    )
    assert done.returncode != 0
    assert "trust_remote_code=True" in done.stderr
