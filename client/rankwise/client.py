"""The service's nouns as methods. What it answers comes back as the JSON that it is."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from rankwise import downloads, events
from rankwise.connection import Connection
from rankwise.errors import Json, TimedOut

FINISHED = frozenset({"succeeded", "failed", "cancelled"})


class Client:
    """
    Every method raises Refused for what the service refuses, and Unreachable where it does not
    answer in six tries.
    """

    def __init__(self, url: str, key: str, timeout: float = 30.0):
        self.connection = Connection(url, key, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def submit(
        self, recipe: Mapping[str, Any], priority: int = 0, idempotency_key: str | None = None
    ) -> Json:
        """The queued job. Once for a key of your own, however often it is called."""
        return self.connection.post(
            "/v1/jobs",
            json=dict(recipe),
            params={"priority": priority},
            idempotency_key=idempotency_key,
        )

    def plan(self, recipe: Mapping[str, Any]) -> Json:
        """What a job of this recipe would do."""
        return self.connection.post("/v1/plans", json=dict(recipe))

    def submit_sweep(
        self, sweep: Mapping[str, Any], priority: int = 0, idempotency_key: str | None = None
    ) -> Json:
        """The queued sweep: a job for every budget, method and seed."""
        return self.connection.post(
            "/v1/sweeps",
            json=dict(sweep),
            params={"priority": priority},
            idempotency_key=idempotency_key,
        )

    def sweep(self, sweep_id: str) -> Json:
        return self.connection.get(f"/v1/sweeps/{sweep_id}")

    def sweeps(self) -> Iterator[Json]:
        return self.connection.pages("/v1/sweeps")

    def points(self, sweep_id: str) -> list[Json]:
        return list(self.connection.pages(f"/v1/sweeps/{sweep_id}/points"))

    def pareto(self, sweep_id: str, against: str = "bytes", metric: str | None = None) -> Json:
        """Finished points by what they cost; which of them nothing beats, and the knee."""
        wanted = {"against": against} | ({"metric": metric} if metric else {})
        return self.connection.get(f"/v1/sweeps/{sweep_id}/pareto", params=wanted)

    def promote(self, sweep_id: str, job_id: str, changes: Mapping[str, Any] | None = None) -> Json:
        """The queued job: a point's recipe with changes, evaluated on the test split."""
        body = {"job_id": job_id, "changes": dict(changes or {})}
        return self.connection.post(f"/v1/sweeps/{sweep_id}/promote", json=body)

    def cancel_sweep(self, sweep_id: str) -> Json:
        return self.connection.post(f"/v1/sweeps/{sweep_id}/cancel")

    def wait_for_sweep(
        self,
        sweep_id: str,
        timeout: float | None = None,
        every: float = 2.0,
        seen: Callable[[Json], object] = lambda _: None,
    ) -> Json:
        """The sweep with all its jobs over, however they ended; `seen` is told on the way.

        Raises:
            TimedOut: some are not over after so many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            sweep = self.sweep(sweep_id)
            seen(sweep)
            left = sum(n for status, n in sweep["statuses"].items() if status not in FINISHED)
            if not left:
                return sweep
            if deadline is not None and time.monotonic() + every > deadline:
                raise TimedOut(f"{left} jobs of {sweep_id} are not over after {timeout:g} s.")
            time.sleep(every)

    def job(self, job_id: str) -> Json:
        return self.connection.get(f"/v1/jobs/{job_id}")

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """Newest first; filters are those of GET /v1/jobs."""
        return self.connection.pages("/v1/jobs", filters)

    def layers(self, job_id: str) -> list[Json]:
        return list(self.connection.pages(f"/v1/jobs/{job_id}/layers", {"limit": 200}))

    def stages(self, job_id: str) -> list[Json]:
        return list(self.connection.pages(f"/v1/jobs/{job_id}/stages"))

    def logs(self, job_id: str) -> Iterator[Json]:
        return self.connection.pages(f"/v1/jobs/{job_id}/logs")

    def cancel(self, job_id: str) -> Json:
        return self._verb(job_id, "cancel")

    def pause(self, job_id: str) -> Json:
        return self._verb(job_id, "pause")

    def resume(self, job_id: str) -> Json:
        return self._verb(job_id, "resume")

    def retry(self, job_id: str) -> Json:
        return self._verb(job_id, "retry")

    def _verb(self, job_id: str, verb: str) -> Json:
        return self.connection.post(f"/v1/jobs/{job_id}/{verb}")

    def delete(self, job_id: str) -> None:
        self.connection.delete(f"/v1/jobs/{job_id}")

    def events(self, job_id: str, after: int = 0) -> Iterator[Json]:
        """As they happen, to the job's last."""
        return events.follow(self.connection, job_id, after)

    def wait(self, job_id: str, timeout: float | None = None, every: float = 1.0) -> Json:
        """The finished job, however it ended.

        Raises:
            TimedOut: it has not finished after so many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            job = self.job(job_id)
            if job["status"] in FINISHED:
                return job
            if deadline is not None and time.monotonic() + every > deadline:
                raise TimedOut(f"{job_id} is {job['status']} after {timeout:g} s.")
            time.sleep(every)

    def download(
        self, job_id: str, folder: str | Path, seen: downloads.Seen = lambda _: None
    ) -> list[Path]:
        """The artifact's files, checked. Called again after a break, it goes on where it was."""
        return downloads.download(self.connection, job_id, Path(folder), seen)

    def artifacts(self, job_id: str) -> list[Json]:
        return list(self.connection.pages(f"/v1/jobs/{job_id}/artifacts", {"limit": 200}))

    def upload_dataset(self, path: str | Path, name: str | None = None) -> Json:
        """A csv, jsonl or parquet table."""
        file, once = Path(path), uuid4().hex
        fields = {"name": name} if name else {}
        with file.open("rb") as content:
            return self.connection.post(
                "/v1/datasets",
                files={"file": (file.name, content)},
                data=fields,
                headers={"Content-Type": f"multipart/form-data; boundary={once}"},
                idempotency_key=once,
                timeout=600.0,
            )

    def datasets(self) -> Iterator[Json]:
        return self.connection.pages("/v1/datasets")

    def models(self) -> Iterator[Json]:
        return self.connection.pages("/v1/models")

    def methods(self) -> Iterator[Json]:
        return self.connection.pages("/v1/methods")

    def presets(self) -> Iterator[Json]:
        return self.connection.pages("/v1/presets")

    def keys(self) -> Iterator[Json]:
        return self.connection.pages("/v1/api-keys")

    def issue_key(self, name: str, scopes: list[str]) -> Json:
        """The only answer that holds the key itself."""
        return self.connection.post("/v1/api-keys", json={"name": name, "scopes": scopes})

    def revoke_key(self, key_id: str) -> None:
        self.connection.delete(f"/v1/api-keys/{key_id}")

    def retention(self) -> Json:
        """How many days the project keeps what its finished jobs left; None is for ever."""
        return self.connection.get("/v1/retention")

    def set_retention(self, **days: float | None) -> Json:
        """The whole policy: what is left out goes back to its default."""
        return self.connection.put("/v1/retention", json=days)

    def preview_retention(self, **days: float) -> Json:
        """What the policy, or another one, would drop now."""
        return self.connection.get("/v1/retention/preview", days)

    def recipe_schema(self) -> Json:
        """The JSON schema of a recipe, as the service publishes it."""
        document = self.connection.get("/openapi.json")
        schemas = document["components"]["schemas"]
        definitions = {name: schema for name, schema in schemas.items() if name != "Recipe"}
        return {**schemas["Recipe"], "$defs": definitions}

    def readiness(self) -> Json:
        return self.connection.get("/readyz")
