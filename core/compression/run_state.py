"""What the stages of one run share: its inputs, their fingerprints, and each stage's folder."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_model as load_weights
from torch import nn

from core.compression.cache import Cache
from core.compression.models.loading import load_model, load_tokenizer
from core.compression.tasks.data import Data
from core.compression.tasks.examples import Examples
from core.compression.tasks.kind import TaskKind
from core.compression.tasks.registry import task_kind
from core.compression.tasks.rows import columns_of, source_rows
from core.compression.tasks.splits import SPLITS, Splits, split_rows
from core.compression.workspace import Workspace
from core.data.dataset import dataset_sha256, read_dataset
from core.planning.checkpoint import Checkpoint, read_checkpoint
from core.planning.families import target_layers
from core.planning.fingerprints import stage_fingerprints
from core.planning.plan import Plan, TargetLayer
from core.recipe import Recipe


class Resolved(BaseModel):
    """What the resolve stage found out about model and data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_names: tuple[str, ...]
    """By number, as the model answers; empty where it answers no labels."""
    keep_head: bool
    """The checkpoint's head knows the labels of the data."""
    adapts: bool
    """The dense model is fine-tuned first."""
    reason: str
    metric: str
    """The headline metric."""
    baseline: float | None
    """That metric on the validation split, of an answer that looks at no input."""
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
        sha256 = dataset_sha256(workspace.dataset)
        fingerprints = stage_fingerprints(recipe, checkpoint.digest, sha256)
        write_once(
            workspace.directory / "started.json", datetime.now(UTC).isoformat(timespec="seconds")
        )
        return cls(recipe, workspace, checkpoint, sha256, fingerprints)

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
    def task(self) -> TaskKind[Any]:
        return task_kind(self.recipe.task)

    @cached_property
    def targets(self) -> tuple[TargetLayer, ...]:
        return target_layers(self.checkpoint, self.recipe.task, embeddings=self.recipe.embeddings)

    @cached_property
    def resolved(self) -> Resolved:
        return Resolved.model_validate_json((self.folder("resolve") / "resolved.json").read_bytes())

    @cached_property
    def plan(self) -> Plan:
        return Plan.model_validate_json((self.folder("plan") / "plan.json").read_bytes())

    @cached_property
    def data(self) -> Data:
        """Only the columns that the recipe names are read."""
        config = self.recipe.task
        dataset = read_dataset(self.workspace.dataset, columns_of(config))
        return self.task.read(source_rows(dataset, config.splits))

    @cached_property
    def splits(self) -> Splits:
        return split_rows(self.data, self.recipe.task.splits)

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.workspace.model, self.task.tokenizer_options)

    def tokenized(self, split: str, label_names: tuple[str, ...]) -> Examples:
        """One split, labels numbered by these names."""
        rows = getattr(self.splits, split)
        return self.task.tokenize(self.data, rows, label_names, self.tokenizer)

    @cached_property
    def examples(self) -> dict[str, Examples]:
        """The tokenized splits by name, labels numbered as the model answers."""
        found = {name: self.tokenized(name, self.resolved.label_names) for name in SPLITS}
        if not self.task.labels_from_model:
            return found
        return {name: self._answered(name, examples) for name, examples in found.items()}

    def _answered(self, split: str, examples: Examples) -> Examples:
        """With the labels that the dense model gave in the resolve stage."""
        with np.load(self.folder("resolve") / f"answers-{split}.npz") as outputs:
            return self.task.relabelled(examples, outputs)

    def load_dense(self) -> nn.Module:
        """The dense model that is compressed: adapted, or as it came.

        What no task reads and the checkpoint lacks (a pooler) is the same in every run.
        """
        resolved = self.resolved
        source = self.folder("adapt") if resolved.adapts else self.workspace.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.dense_seed)
            return load_model(
                source,
                self.task.auto_class,
                resolved.label_names,
                pad_token_id=self.tokenizer.pad_token_id,
                device=self.device,
            ).model

    def load_unfactorized(self) -> nn.Module:
        """The model that is factorized: the dense one, or as the method has trained it."""
        model = self.load_dense()
        for stage in ("prune", "dynamic_ranks"):
            if stage in self.recipe.method.stages:
                load_weights(model, self.folder(stage) / "model.safetensors")
        return model


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
