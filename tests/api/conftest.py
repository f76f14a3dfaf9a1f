"""The API on a real database, a real broker and a tiny real model folder."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import save_file
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.app import create_app
from api.keys.service import issue
from core import keys
from core.database.tables import Job, Table
from core.keys import Scope
from core.settings import Settings
from tests.factories import DEFAULT_PROJECT, make_project

Json = dict[str, Any]

HIDDEN, INTERMEDIATE, LAYERS, WORDS = 8, 16, 2, 11


def write_model(folder: Path, **config: Any) -> Path:
    """A BERT checkpoint of a few hundred numbers, as transformers would save it."""
    content = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "vocab_size": WORDS,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content | config))
    shapes = {"bert.embeddings.word_embeddings.weight": (WORDS, HIDDEN)}
    for block in range(LAYERS):
        own = f"bert.encoder.layer.{block}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{own}.attention.{name}.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{own}.intermediate.dense.weight"] = (INTERMEDIATE, HIDDEN)
        shapes[f"{own}.output.dense.weight"] = (HIDDEN, INTERMEDIATE)
    tensors = {name: np.ones(shape, dtype=np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def csv_table(rows: int = 20) -> bytes:
    lines = [f"text number {row},{'good' if row % 2 else 'bad'}" for row in range(rows)]
    return "\n".join(["text,label", *lines, ""]).encode()


@dataclass
class Api:
    """A client with a key, and short words for what the tests do."""

    http: TestClient
    app: FastAPI
    settings: Settings
    token: str
    model: Path
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def get(self, route: str, **options: Any) -> Any:
        headers = self.headers | options.pop("headers", {})
        return self.http.get(route, headers=headers, **options)

    def delete(self, route: str) -> Any:
        return self.http.delete(route, headers=self.headers)

    def post(self, route: str, body: Any = None, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = self.headers | {"Content-Type": "application/json"} | headers
        return self.http.post(route, content=content, headers=given)

    def patch(self, route: str, body: Any, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = self.headers | {"Content-Type": "application/json"} | headers
        return self.http.patch(route, content=content, headers=given)

    def upload(self, content: bytes | None = None, name: str = "t.csv", **fields: str) -> Any:
        files = {"file": (name, csv_table() if content is None else content)}
        return self.http.post("/v1/datasets", files=files, data=fields, headers=self.headers)

    def recipe(self, **changes: Any) -> Json:
        """A recipe that is accepted, on a dataset uploaded for it."""
        dataset = changes.pop("dataset", None) or self.upload().json()["id"]
        task = {"type": "text-classification", "dataset": {"type": "upload", "id": dataset}}
        return {
            "model": {"type": "path", "path": str(self.model)},
            "task": task,
            "method": {"type": "svd"},
            "budget": {"type": "keep_ratio", "value": 0.5},
        } | changes

    def session(self) -> Session:
        session: Session = self.app.state.sessions()
        return session

    def key(self, scopes: list[Scope], project_id: str = DEFAULT_PROJECT, **values: Any) -> str:
        token = keys.generate()
        with self.session() as session, session.begin():
            issue(session, project_id, token, scopes, **values)
        return token

    def as_project(self, project_id: str) -> "Api":
        """The same service, seen by another project's admin."""
        with self.session() as session, session.begin():
            make_project(session, id=project_id)
        token = self.key(["admin"], project_id)
        return Api(self.http, self.app, self.settings, token, self.model)

    def count(self, table: type[Table] = Job) -> int:
        with self.session() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def stored_files(self) -> list[str]:
        folders = (self.settings.storage_dir, self.settings.data_dir / "incoming")
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return sorted(str(path) for path in files)


@pytest.fixture
def model_root(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    write_model(root / "tiny")
    return root


@pytest.fixture
def api_settings(settings: Settings, model_root: Path, tmp_path: Path) -> Settings:
    datasets = tmp_path / "datasets"
    datasets.mkdir()
    changes = {
        "bootstrap_key": keys.generate(),
        "model_roots": (model_root,),
        "dataset_roots": (datasets,),
        "max_body_bytes": 20_000,
        "max_upload_bytes": 100_000,
    }
    return settings.model_copy(update=changes)


def running(settings: Settings, model_root: Path) -> Iterator[Api]:
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as http:
        yield Api(http, app, settings, settings.bootstrap_key, model_root / "tiny")


@pytest.fixture
def api(sqlite_url: str, valkey: str, api_settings: Settings, model_root: Path) -> Iterator[Api]:
    """On SQLite."""
    yield from running(api_settings, model_root)


@pytest.fixture
def api_on_each(
    database_url: str, valkey: str, api_settings: Settings, model_root: Path
) -> Iterator[Api]:
    """On SQLite, then on PostgreSQL."""
    yield from running(api_settings, model_root)
