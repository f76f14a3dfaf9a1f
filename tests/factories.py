"""One plain function per table: a row that is valid as it is, any column overridden by name."""

from typing import Any, TypeVar

from sqlalchemy.orm import Session

from core.database.identifiers import new_id
from core.database.tables import (
    ApiKey,
    Artifact,
    CacheEntry,
    Dataset,
    IdempotencyRecord,
    Job,
    JobAttempt,
    JobChangedAnswer,
    JobEvent,
    JobLayer,
    JobMetric,
    JobStage,
    Project,
    SpectraRecord,
    Sweep,
    Table,
    UploadedModel,
    WebhookEndpoint,
    now,
)
from core.recipe import Recipe

Row = TypeVar("Row", bound=Table)

DEFAULT_PROJECT = "prj_default"
DIGEST = "ab" * 32


def make_recipe(**overrides: Any) -> Recipe:
    content: dict[str, Any] = {
        "model": {"type": "path", "path": "/models/tiny"},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "path", "path": "/datasets/tiny.csv"},
        },
        "method": {"type": "svd"},
        "budget": {"type": "keep_ratio", "value": 0.5},
    }
    return Recipe.model_validate(content | overrides)


def make_inputs(**overrides: Any) -> dict[str, Any]:
    return {
        "model_path": "/models/tiny",
        "model_digest": DIGEST,
        "dataset_path": "/datasets/tiny.csv",
        "dataset_key": None,
        "dataset_format": "csv",
        "dataset_sha256": DIGEST,
    } | overrides


def make_project(session: Session, **overrides: Any) -> Project:
    return _add(session, Project, {"id": new_id("prj"), "name": "another"} | overrides)


def make_api_key(session: Session, **overrides: Any) -> ApiKey:
    values: dict[str, Any] = {"id": new_id("key"), "secret_sha256": DIGEST, "scopes": ["read"]}
    return _add_owned(session, ApiKey, values | overrides)


def make_dataset(session: Session, **overrides: Any) -> Dataset:
    identifier = overrides.pop("id", new_id("ds"))
    values: dict[str, Any] = {
        "id": identifier,
        "name": "tiny.csv",
        "format": "csv",
        "bytes": 100,
        "sha256": DIGEST,
        "rows": 10,
        "columns": [{"name": "text", "type": "string"}, {"name": "label", "type": "string"}],
        "storage_key": f"datasets/{identifier}/data.csv",
    }
    return _add_owned(session, Dataset, values | overrides)


def make_uploaded_model(session: Session, **overrides: Any) -> UploadedModel:
    identifier = overrides.pop("id", new_id("md"))
    values: dict[str, Any] = {
        "id": identifier,
        "name": "tiny",
        "family": "bert",
        "params": 100,
        "bytes": 400,
        "digest": DIGEST,
        "files": [{"name": "config.json", "bytes": 2, "sha256": DIGEST}],
        "storage_prefix": f"models/{identifier}",
    }
    return _add_owned(session, UploadedModel, values | overrides)


def make_job(session: Session, **overrides: Any) -> Job:
    """A queued job, without events or stages; core.jobs.submission.submit makes whole ones."""
    recipe = make_recipe()
    values: dict[str, Any] = {
        "id": new_id("job"),
        "recipe": recipe.model_dump(mode="json"),
        "recipe_hash": recipe.hash,
        "inputs": make_inputs(),
    }
    return _add_owned(session, Job, values | overrides)


def make_attempt(session: Session, job: Job, **overrides: Any) -> JobAttempt:
    return _add_of_job(session, JobAttempt, job, {"epoch": 1, "owner": "host:1"} | overrides)


def make_stage(session: Session, job: Job, **overrides: Any) -> JobStage:
    values: dict[str, Any] = {"stage": "resolve", "position": 0, "state": "pending"}
    return _add_of_job(session, JobStage, job, values | overrides)


def make_event(session: Session, job: Job, **overrides: Any) -> JobEvent:
    """The job's next event, numbered in the job's row as the service does."""
    job.last_seq = overrides.get("seq", job.last_seq + 1)
    values: dict[str, Any] = {"seq": job.last_seq, "epoch": job.epoch, "type": "log", "data": {}}
    return _add_of_job(session, JobEvent, job, values | overrides)


def make_layer(session: Session, job: Job, **overrides: Any) -> JobLayer:
    name = overrides.pop("name", "encoder.layer.0.output.dense")
    report = {
        "name": name,
        "out_features": 8,
        "in_features": 8,
        "rank": 2,
        "params_before": 64,
        "params_after": 32,
        "retained_energy": 0.9,
        "predicted_loss_increase": 0.1,
        "measured_error": 0.2,
        "spectrum": [4.0, 3.0, 2.0, 1.0],
    }
    return _add_of_job(
        session, JobLayer, job, {"position": 0, "name": name, "report": report} | overrides
    )


def make_changed_answer(
    session: Session, job: Job, position: int = 0, **overrides: Any
) -> JobChangedAnswer:
    answer = {
        "row": 417,
        "kind": "worse",
        "texts": ["expected better of them"],
        "true": "positive",
        "dense": "positive",
        "result": "negative",
        "dense_error": 0.0,
        "result_error": 1.0,
        "dense_confidence": 0.83,
        "result_confidence": 0.61,
    }
    values: dict[str, Any] = {"position": position, "answer": answer | overrides}
    return _add_of_job(session, JobChangedAnswer, job, values)


def make_metric(session: Session, job: Job, **overrides: Any) -> JobMetric:
    values: dict[str, Any] = {
        "phase": "dense",
        "name": "accuracy",
        "value": 0.9,
        "low": 0.88,
        "high": 0.92,
        "n": 1000,
    }
    return _add_of_job(session, JobMetric, job, values | overrides)


def make_artifact(session: Session, job: Job, **overrides: Any) -> Artifact:
    name = overrides.pop("name", "model.safetensors")
    values: dict[str, Any] = {
        "name": name,
        "epoch": 1,
        "storage_key": f"jobs/{job.id}/e1/{name}",
        "bytes": 4,
        "sha256": DIGEST,
    }
    return _add_of_job(session, Artifact, job, values | overrides)


def make_idempotency_record(session: Session, **overrides: Any) -> IdempotencyRecord:
    values: dict[str, Any] = {"key": new_id("idem"), "request_sha256": DIGEST}
    return _add_owned(session, IdempotencyRecord, values | overrides)


def make_cache_entry(session: Session, **overrides: Any) -> CacheEntry:
    fingerprint = overrides.pop("fingerprint", new_id("fp"))
    values: dict[str, Any] = {
        "stage": "statistics",
        "fingerprint": fingerprint,
        "path": f"statistics/{fingerprint}",
        "bytes": 10,
        "used_at": now(),
    }
    return _add_owned(session, CacheEntry, values | overrides)


def make_spectra(session: Session, **overrides: Any) -> SpectraRecord:
    fingerprint = overrides.pop("fingerprint", new_id("fp"))
    values: dict[str, Any] = {
        "fingerprint": fingerprint,
        "storage_key": f"spectra/{fingerprint}.npz",
    }
    return _add_owned(session, SpectraRecord, values | overrides)


def make_sweep(session: Session, **overrides: Any) -> Sweep:
    spec = {"recipe": {}, "budgets": [{"type": "keep_ratio", "value": 0.5}]}
    return _add_owned(session, Sweep, {"id": new_id("swp"), "spec": spec} | overrides)


def make_webhook_endpoint(session: Session, **overrides: Any) -> WebhookEndpoint:
    values: dict[str, Any] = {
        "id": new_id("wh"),
        "url": "https://example.org/hook",
        "events": ["job.succeeded", "job.failed", "job.cancelled"],
        "encrypted_secret": "nothing",
    }
    return _add_owned(session, WebhookEndpoint, values | overrides)


def _add_of_job(session: Session, table: type[Row], job: Job, values: dict[str, Any]) -> Row:
    owner = {"job_id": job.id, "project_id": job.project_id}
    return _add(session, table, owner | values)


def _add_owned(session: Session, table: type[Row], values: dict[str, Any]) -> Row:
    return _add(session, table, {"project_id": DEFAULT_PROJECT} | values)


def _add(session: Session, table: type[Row], values: dict[str, Any]) -> Row:
    row = table(**values)
    session.add(row)
    session.flush()
    return row
