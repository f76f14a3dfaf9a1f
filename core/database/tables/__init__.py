"""Every table. Each row belongs to a project; the job's row is the truth about the job."""

from core.database.tables.base import Json, Project, ProjectOwned, Table, UtcDateTime, now, stored
from core.database.tables.jobs import (
    Artifact,
    Job,
    JobAttempt,
    JobChangedAnswer,
    JobEvent,
    JobLayer,
    JobMetric,
    JobOwned,
    JobStage,
    Sweep,
)
from core.database.tables.library import CacheEntry, Dataset, SpectraRecord, UploadedModel
from core.database.tables.projects import ApiKey, HubToken, IdempotencyRecord, Retention
from core.database.tables.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "ApiKey",
    "Artifact",
    "CacheEntry",
    "Dataset",
    "HubToken",
    "IdempotencyRecord",
    "Job",
    "JobAttempt",
    "JobChangedAnswer",
    "JobEvent",
    "JobLayer",
    "JobMetric",
    "JobOwned",
    "JobStage",
    "Json",
    "Project",
    "ProjectOwned",
    "Retention",
    "SpectraRecord",
    "Sweep",
    "Table",
    "UploadedModel",
    "UtcDateTime",
    "WebhookDelivery",
    "WebhookEndpoint",
    "now",
    "stored",
]
