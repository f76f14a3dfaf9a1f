"""The artifact: everything that a user downloads, written in one go."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from core.compression.export.card import render_card
from core.compression.export.generated_code import GeneratedNames, code_files, names_for
from core.compression.export.manifest import list_files, write_manifest, write_sums
from core.compression.export.report import render_report
from core.compression.export.tokenizer import write_tokenizer
from core.compression.export.weights import write_dense, write_json, write_low_rank
from core.planning.plan import Plan
from core.recipe import Recipe
from core.recipe.events import ArtifactFile, LayerReport
from core.reporting.report import Report
from core.reporting.result import Result

CARD_FILE = "README.md"
REPORT_DATA_FILE = "report.json"
REPORT_FILE = "report.html"
DENSE_FOLDER = "dense"


@dataclass(frozen=True)
class ArtifactContents:
    """What an artifact is made of. The tokenizer is left as it is."""

    model: nn.Module
    """A sequence classifier of transformers with LowRankLinear in place of some layers."""
    tokenizer: Any
    recipe: Recipe
    plan: Plan
    layers: tuple[LayerReport, ...]
    result: dict[str, Any]
    """As GET /v1/jobs/{id} shows it: core.reporting.result.Result reads it."""
    provenance: dict[str, Any]
    """What it takes to repeat the run: `versions` (name → version), `threads`, `device`, `started`
    and `finished` (RFC 3339), `fingerprints` (stage → SHA-256), and whatever else is known."""


def write_artifact(directory: Path, contents: ArtifactContents) -> tuple[ArtifactFile, ...]:
    """Write the artifact beside `directory`, then give it that name; one that stood there goes.

    Returns every file with its size and SHA-256, sorted by name.

    Raises:
        ModelError: the model is no sequence classifier of transformers.
        NumericalError: a weight is not finite.
    """
    draft = directory.with_name(f".{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _write_files(draft, contents)
    files = list_files(draft)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
    return files


def _write_files(folder: Path, contents: ArtifactContents) -> None:
    names = names_for(contents.model)
    write_low_rank(folder, contents.model, names)
    write_tokenizer(folder, contents.tokenizer)
    _write_texts(folder, code_files(names, contents.model))
    if "dense" in contents.recipe.exports:
        _write_dense_folder(folder / DENSE_FOLDER, contents, names)
    _write_report(folder, contents, names)
    write_manifest(folder, manifest_content(contents))
    write_sums(folder)


def _write_dense_folder(folder: Path, contents: ArtifactContents, names: GeneratedNames) -> None:
    folder.mkdir()
    write_dense(folder, contents.model, names)
    write_tokenizer(folder, contents.tokenizer)


def _write_report(folder: Path, contents: ArtifactContents, names: GeneratedNames) -> None:
    report = report_of(contents)
    write_json(folder / REPORT_DATA_FILE, report.model_dump(mode="json"))
    _write_texts(
        folder, {REPORT_FILE: render_report(report), CARD_FILE: render_card(report, names)}
    )


def report_of(contents: ArtifactContents) -> Report:
    return Report(
        recipe=contents.recipe,
        recipe_hash=contents.recipe.hash,
        plan=contents.plan,
        layers=contents.layers,
        result=Result.model_validate(contents.result),
        provenance=contents.provenance,
    )


def manifest_content(contents: ArtifactContents) -> dict[str, Any]:
    return {
        "recipe": contents.recipe.model_dump(mode="json"),
        "recipe_hash": contents.recipe.hash,
        "seed": contents.recipe.seed,
        "allocation": {layer.name: layer.rank for layer in contents.plan.layers},
        "provenance": contents.provenance,
    }


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
