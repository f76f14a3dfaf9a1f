"""Where the model and the data come from."""

from typing import Annotated, Literal

from pydantic import Field

from core.recipe.config import Config

HubId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?$",
        max_length=193,
    ),
]
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,199}$")]


class PathModel(Config):
    """A Hugging Face folder (config.json, *.safetensors, tokenizer) under a configured root."""

    type: Literal["path"] = "path"
    path: str = Field(min_length=1, max_length=4096)


class HubModel(Config):
    """A model of the configured hub; a private one needs the project's stored token."""

    type: Literal["hub"] = "hub"
    id: HubId
    revision: Revision | None = None
    """Branch, tag or commit, pinned to a commit at submit; none means main."""


class UploadModel(Config):
    """A model uploaded through POST /v1/models."""

    type: Literal["upload"] = "upload"
    id: str = Field(pattern=r"^md_[0-9a-z]{26}$")


class JobModel(Config):
    """The result of an earlier job, compressed further; ratios count from its dense shapes."""

    type: Literal["job"] = "job"
    id: str = Field(pattern=r"^job_[0-9a-z]{26}$")


ModelSource = Annotated[PathModel | HubModel | UploadModel | JobModel, Field(discriminator="type")]


class UploadDataset(Config):
    """A dataset uploaded through POST /v1/datasets."""

    type: Literal["upload"] = "upload"
    id: str = Field(pattern=r"^ds_[0-9a-z]{26}$")


class PathDataset(Config):
    """A csv, jsonl or parquet file under a configured root."""

    type: Literal["path"] = "path"
    path: str = Field(min_length=1, max_length=4096)


class HubDataset(Config):
    """Parquet files of a dataset of the configured hub, one or more for each of its splits."""

    type: Literal["hub"] = "hub"
    id: HubId
    config: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")] | None = None
    """The subset, where the dataset has several."""
    revision: Revision | None = None
    """Branch, tag or commit, pinned to a commit at submit; none means main."""


DatasetSource = Annotated[UploadDataset | PathDataset | HubDataset, Field(discriminator="type")]
