from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.recipe.sources import JobModel, PathModel, UploadModel

EXAMPLE = {
    "object": "model",
    "id": "md_01jt0v3n8gq6y5zkx4w2c7r9ah",
    "name": "sentiment",
    "source": {"type": "upload", "id": "md_01jt0v3n8gq6y5zkx4w2c7r9ah"},
    "family": "bert",
    "params": 22713216,
    "target_params": 10616832,
    "bytes": 90856960,
    "created_at": "2026-05-04T09:30:00Z",
}
TARGET_EXAMPLE = {
    "name": "bert.encoder.layer.0.attention.self.query",
    "out_features": 384,
    "in_features": 384,
    "params": 147456,
}
TARGETS_EXAMPLE = EXAMPLE | {"targets": [TARGET_EXAMPLE]}


class Target(BaseModel):
    """A layer that can be factorized: W [out_features, in_features]."""

    name: str
    out_features: int
    in_features: int
    params: int


class Model(BaseModel):
    """A model that a recipe can name: uploaded, under a configured root, or a job's result."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["model"] = "model"
    id: str
    name: str
    source: UploadModel | PathModel | JobModel
    """A recipe's `model`."""
    family: str
    params: int
    """Floating-point numbers, tied ones once. A job's result counts with its dense shapes."""
    target_params: int
    """Of the layers that can be factorized: what a keep_ratio of scope `targets` is of."""
    bytes: int
    """Of all tensors."""
    created_at: datetime


class ModelWithTargets(Model):
    """A model and the layers of it that can be factorized."""

    targets: list[Target]
