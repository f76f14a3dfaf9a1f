"""Where a job's inputs come from, as its supervisor tells the runner. No torch here."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from core.database.sessions import Sessions, read_only
from core.hub.tokens import project_token
from core.jobs.claims import ClaimedJob
from core.settings import Settings
from core.storage.storage import Storage
from worker.assignment import HubFiles, StoredFiles


class Sources:
    """Reads a job's inputs as they were resolved at submit; see api.resolution.

    What lies in storage is placed in the workspace: neither a deletion nor a bucket that is away
    can end a run that has begun.
    """

    def __init__(
        self,
        job: ClaimedJob,
        storage: Storage,
        settings: Settings,
        sessions: Sessions,
        directory: Path,
    ) -> None:
        self._project_id = job.project_id
        self._inputs = job.inputs
        self._storage = storage
        self._settings = settings
        self._sessions = read_only(sessions)
        self._folder = directory / "inputs" / "stored"

    def model(self) -> Path | StoredFiles | HubFiles:
        hub, stored = self._inputs.get("model_hub"), self._inputs.get("model_files")
        if hub is not None:
            folders = {"": hub["files"]}
            return self._on_hub("model", hub, folders, self._inputs["model_digest"])
        if stored is not None:
            files = {name: self._placed(key, f"model/{name}") for name, key in stored.items()}
            return StoredFiles(files=files, factored=self._inputs.get("model_job") is not None)
        return Path(self._inputs["model_path"])

    def dataset(self) -> Path | HubFiles:
        hub, key = self._inputs.get("dataset_hub"), self._inputs.get("dataset_key")
        if hub is not None:
            return self._on_hub("dataset", hub, hub["files"], None)
        if key is None:
            return Path(self._inputs["dataset_path"])
        return self._placed(key, f"dataset.{self._inputs['dataset_format']}")

    def _placed(self, key: str, name: str) -> Path:
        """The workspace's own file of those bytes, for as long as the run may need it; where
        nothing is stored under the key there is none, which the runner says."""
        target = self._folder / name
        if not target.exists():
            with suppress(FileNotFoundError):
                self._storage.place(key, target)
        return target

    def _on_hub(
        self,
        kind: Literal["model", "dataset"],
        hub: dict[str, Any],
        folders: dict[str, Any],
        digest: str | None,
    ) -> HubFiles:
        return HubFiles(
            kind=kind,
            id=hub["id"],
            commit=hub["commit"],
            files=folders,
            endpoint=self._settings.hub_endpoint,
            token=self._token(),
            digest=digest,
            cache=self._settings.hub_cache_dir,
            cache_max_bytes=self._settings.cache_max_bytes,
        )

    def _token(self) -> str | None:
        """In clear; read only where something comes from a hub."""
        with self._sessions() as session:
            return project_token(session, self._project_id, self._settings)
