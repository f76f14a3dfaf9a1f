"""The process environment, read once. Every setting is described in docs/settings.md."""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST_SOCKET_PATH = 107


class Settings(BaseSettings):
    """Defaults are the embedded service: SQLite, local files, an embedded Valkey, one host."""

    model_config = SettingsConfigDict(
        env_prefix="RANKWISE_",
        extra="ignore",
        use_attribute_docstrings=True,
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    data_dir: Path = REPOSITORY / "data"
    """Database, uploads, artifacts, workspaces and caches of the embedded service."""
    database_url: str = Field(
        default="", validation_alias=AliasChoices("RANKWISE_DATABASE_URL", "DATABASE_URL")
    )
    """SQLAlchemy URL; empty means SQLite in data_dir."""
    redis_url: str = Field(
        default="", validation_alias=AliasChoices("RANKWISE_REDIS_URL", "REDIS_URL")
    )
    """The broker; empty means the embedded Valkey's unix socket."""

    storage_url: str = Field(default="", pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,62}(/[^/\\]+)*/?)?$")
    """`s3://bucket` or `s3://bucket/prefix` for uploads and artifacts; empty means data_dir."""
    s3_endpoint: str = ""
    """Address of an S3-compatible store; empty means Amazon's."""
    s3_region: str = ""
    """Region of the bucket; empty means that of the environment's AWS configuration."""
    s3_access_key_id: str = ""
    """Opens the bucket; empty means what AWS clients find: environment, profile, instance role."""
    s3_secret_access_key: str = Field(default="", repr=False)
    """Belongs to the access key id."""
    s3_part_bytes: int = Field(default=16 << 20, ge=5 << 20, le=5 << 30)
    """A larger file is uploaded in parts of this size, each held in memory while it is sent."""

    host: str = "127.0.0.1"
    """Address the API binds."""
    port: int = 8000
    """Port the API and the dashboard listen on; 0 takes a free one."""
    bootstrap_key: str = ""
    """An admin API key to create in the default project at start, if it does not exist."""

    session_secret: str = ""
    """Signs the dashboard's sessions and links to artifacts; empty means one made in data_dir at
    first use."""

    model_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders, separated by colons, under which models of type `path` must lie."""
    dataset_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders, separated by colons, under which datasets of type `path` must lie."""
    hub_endpoint: str = "https://huggingface.co"
    """The hub that models and datasets of type `hub` come from."""
    secret_key: str = ""
    """Encrypts hub tokens and webhook secrets; empty means one made in data_dir at first use."""
    max_model_bytes: int = 16 << 30
    """Largest model that is taken, by the bytes of its tensors."""
    max_body_bytes: int = 1 << 20
    """Largest JSON body."""
    max_upload_bytes: int = 2 << 30
    """Largest upload of a dataset, or of all files of a model."""
    cache_max_bytes: int = 20 << 30
    """Adapted models and statistics beyond this are dropped, least recently used first; what was
    downloaded from a hub, or copied from a bucket, has the same limit of its own."""

    queues: Annotated[tuple[str, ...], NoDecode] = ("default",)
    """Queues this worker serves, separated by commas."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda:0`, `mps`: what a worker's runners compute on."""
    threads: int = 0
    """Threads of one runner; 0 means the machine's physical share."""
    heartbeat_s: float = 10.0
    """A running job's lease is renewed this often."""
    lease_s: float = 60.0
    """A job whose lease is this old is taken from its worker."""
    reaper_s: float = 10.0
    """The reaper and the dispatcher look this often."""
    ring_again_s: float = 60.0
    """While a row waits, the doorbell is rung again after this long."""
    handover_s: float = 8.0
    """After SIGTERM a runner has this long to write a checkpoint."""
    job_max_memory_bytes: int = Field(default=0, ge=0)
    """What one job may hold in memory on this worker, files mapped from disk not counted; 0 means
    any number. Beyond it an attempt is ended as a crash, of which a job has three."""
    job_max_disk_bytes: int = Field(default=0, ge=0)
    """What one job may put into its workspace on this worker; 0 means any number."""
    worker_max_jobs: int = Field(default=0, ge=0)
    """After so many jobs a worker leaves, for its keeper to start a new one; 0 means any number."""
    worker_max_memory_bytes: int = Field(default=1 << 30, ge=0)
    """A worker whose supervisor (not its runner) holds more memory than this leaves between two
    jobs; 0 means any number."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    offered_queues: Annotated[tuple[str, ...], NoDecode] = ("default",)
    """Queues that a recipe may name, separated by commas: those that some worker serves."""
    max_queued_jobs: int = Field(default=1000, ge=0)
    """Waiting jobs (queued or paused) that a project may have; 0 means any number."""
    webhooks_allow_private: bool = False
    """Webhooks may go to http:// and to addresses that are not public: inside a closed network."""
    rate_limit_per_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Requests a second that one API key may make of one API process; 0 means any number."""

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("model_roots", "dataset_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        return _split(value, os.pathsep)

    @field_validator("queues", "offered_queues", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return _split(value, ",")

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite+pysqlite:///{self.data_dir / 'rankwise.db'}"

    @property
    def resolved_redis_url(self) -> str:
        return self.redis_url or f"redis+socket://{self.broker_socket}"

    @property
    def broker_socket(self) -> Path:
        """In data_dir, or in a short folder of the user's own where that path is too long."""
        socket = self.data_dir / "run" / "valkey.sock"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"rankwise-{os.getuid()}-{digest}" / "valkey.sock"

    @property
    def workspaces_dir(self) -> Path:
        return self.data_dir / "workspaces"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"

    @property
    def hub_cache_dir(self) -> Path:
        return self.data_dir / "hub"

    @property
    def storage_dir(self) -> Path:
        return self.data_dir / "storage"

    @property
    def storage_copies_dir(self) -> Path:
        """Local copies of what lies in a bucket."""
        return self.data_dir / "storage-copies"

    def as_environment(self) -> dict[str, str]:
        """The variables that give a started process these same settings."""
        return {
            f"RANKWISE_{name.upper()}": _joined(name, value) for name, value in self if value != ()
        }


def _split(value: Any, separator: str) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(separator) if part.strip())


def _joined(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return (os.pathsep if name.endswith("_roots") else ",").join(map(str, value))
    return str(value)


@cache
def get_settings() -> Settings:
    return Settings()
