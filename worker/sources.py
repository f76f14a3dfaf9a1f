"""Where a job's inputs come from, as its supervisor tells the runner. No torch here."""

from pathlib import Path
from typing import Any, Literal

from core.database.sessions import Sessions, read_only
from core.hub.tokens import project_token
from core.jobs.claims import ClaimedJob
from core.settings import Settings
from core.storage.storage import Storage
from worker.assignment import HubFiles, StoredFiles


class Sources:
    """Reads a job's inputs as they were resolved at submit; see api.resolution."""

    def __init__(
        self, job: ClaimedJob, storage: Storage, settings: Settings, sessions: Sessions
    ) -> None:
        self._project_id = job.project_id
        self._inputs = job.inputs
        self._storage = storage
        self._settings = settings
        self._sessions = read_only(sessions)

    def model(self) -> Path | StoredFiles | HubFiles:
        hub, stored = self._inputs.get("model_hub"), self._inputs.get("model_files")
        if hub is not None:
            folders = {"": hub["files"]}
            return self._on_hub("model", hub, folders, self._inputs["model_digest"])
        if stored is not None:
            files = {name: self._storage.path(key) for name, key in stored.items()}
            return StoredFiles(files=files, factored=self._inputs.get("model_job") is not None)
        return Path(self._inputs["model_path"])

    def dataset(self) -> Path | HubFiles:
        hub, key = self._inputs.get("dataset_hub"), self._inputs.get("dataset_key")
        if hub is not None:
            return self._on_hub("dataset", hub, hub["files"], None)
        return Path(self._inputs["dataset_path"]) if key is None else self._storage.path(key)

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
