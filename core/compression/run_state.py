"""What the stages of one run share: its inputs, their fingerprints, and each stage's folder."""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import nn

from core.compression.cache import Cache
from core.compression.models.loading import load_classifier, load_tokenizer
from core.compression.tasks.splits import Splits
from core.compression.tasks.text_classification import (
    Examples,
    LabelledTexts,
    read_texts,
    tokenize_splits,
)
from core.compression.workspace import Workspace
from core.data.tables import read_rows
from core.planning.checkpoint import Checkpoint, read_checkpoint
from core.planning.families import target_layers
from core.planning.fingerprints import stage_fingerprints
from core.planning.plan import Plan, TargetLayer
from core.recipe import Recipe


class Resolved(BaseModel):
    """What the resolve stage found out about model and data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_names: tuple[str, ...]
    """By number, as the model answers."""
    keep_head: bool
    """The checkpoint's head knows the labels of the data."""
    adapts: bool
    """The dense model is fine-tuned first."""
    reason: str
    majority_rate: float
    """Of the validation split."""
    rows: dict[str, int]
    splits_hash: str


@dataclass(frozen=True)
class Run:
    """One recipe in one workspace. Stages hand each other files, never objects in memory."""

    recipe: Recipe
    workspace: Workspace
    checkpoint: Checkpoint
    dataset_sha256: str
    fingerprints: dict[str, str]

    @classmethod
    def begin(cls, recipe: Recipe, workspace: Workspace) -> "Run":
        """Read what the fingerprints need.

        Raises:
            ModelError: the model's folder is refused.
        """
        checkpoint = read_checkpoint(workspace.model)
        with workspace.dataset.open("rb") as file:
            dataset_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        fingerprints = stage_fingerprints(recipe, checkpoint.digest, dataset_sha256)
        write_once(
            workspace.directory / "started.json", datetime.now(UTC).isoformat(timespec="seconds")
        )
        return cls(recipe, workspace, checkpoint, dataset_sha256, fingerprints)

    @property
    def cache(self) -> Cache:
        return Cache(self.workspace.cache)

    @property
    def device(self) -> str:
        return self.workspace.device

    def folder(self, stage: str) -> Path:
        """Where the stage's output lies. Another input's output never lies there."""
        return self.workspace.directory / "stages" / f"{stage}-{self.fingerprints[stage][:16]}"

    def checkpoints(self, stage: str) -> Path:
        """Where the stage keeps what it needs to go on after an interruption."""
        return self.workspace.directory / "checkpoints" / self.folder(stage).name

    def relative(self, stage: str, name: str) -> str:
        """An output's path inside the workspace, with forward slashes."""
        return (self.folder(stage) / name).relative_to(self.workspace.directory).as_posix()

    @property
    def started(self) -> str:
        """When the first attempt began (RFC 3339)."""
        return str(json.loads((self.workspace.directory / "started.json").read_bytes()))

    def read(self, stage: str, name: str) -> Any:
        return json.loads((self.folder(stage) / name).read_text(encoding="utf-8"))

    @cached_property
    def targets(self) -> tuple[TargetLayer, ...]:
        return target_layers(self.checkpoint)

    @cached_property
    def resolved(self) -> Resolved:
        return Resolved.model_validate_json((self.folder("resolve") / "resolved.json").read_bytes())

    @cached_property
    def plan(self) -> Plan:
        return Plan.model_validate_json((self.folder("plan") / "plan.json").read_bytes())

    @cached_property
    def texts(self) -> LabelledTexts:
        kind = "jsonl" if self.workspace.dataset.suffix in {".jsonl", ".ndjson"} else "csv"
        return read_texts(read_rows(self.workspace.dataset, kind), self.recipe.task)  # type: ignore[arg-type]

    @cached_property
    def splits(self) -> Splits:
        return self.texts.split(self.recipe.task)

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.workspace.model)

    @cached_property
    def examples(self) -> dict[str, Examples]:
        """The tokenized splits by name, labels numbered as the model answers."""
        texts = self.texts.renumbered(self.resolved.label_names)
        return tokenize_splits(texts, self.splits, self.tokenizer, self.recipe.task.max_length)

    def load_dense(self) -> nn.Module:
        """The dense model that is compressed: adapted, or as it came."""
        resolved = self.resolved
        source = self.folder("adapt") if resolved.adapts else self.workspace.model
        return load_classifier(source, resolved.label_names, device=self.device).model


def write_once(path: Path, content: Any) -> None:
    if not path.exists():
        write_json(path, content)


def write_json(path: Path, content: Any) -> None:
    """The file appears whole under its name, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
