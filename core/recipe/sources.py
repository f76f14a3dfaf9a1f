"""Where the model and the data come from."""

from typing import Annotated, Literal

from pydantic import Field

from core.recipe.config import Config


class PathModel(Config):
    """A Hugging Face folder (config.json, *.safetensors, tokenizer) under a configured root."""

    type: Literal["path"] = "path"
    path: str = Field(min_length=1, max_length=4096)


ModelSource = Annotated[PathModel, Field(discriminator="type")]


class UploadDataset(Config):
    """A dataset uploaded through POST /v1/datasets."""

    type: Literal["upload"] = "upload"
    id: str = Field(pattern=r"^ds_[0-9a-z]{26}$")


class PathDataset(Config):
    """A csv or jsonl file under a configured root."""

    type: Literal["path"] = "path"
    path: str = Field(min_length=1, max_length=4096)


DatasetSource = Annotated[UploadDataset | PathDataset, Field(discriminator="type")]
