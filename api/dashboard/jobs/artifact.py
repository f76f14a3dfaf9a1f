"""A job's files, their sums, and how to load them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from api.dashboard import words
from core.database.tables import Artifact, Job
from core.recipe.task import TASK_TYPES


@dataclass(frozen=True)
class FileLine:
    name: str
    number: str
    unit: str
    sha256: str
    href: str


@dataclass(frozen=True)
class Snippet:
    title: str
    code: str


@dataclass(frozen=True)
class ArtifactPage:
    files: Sequence[FileLine]
    size: str
    card: str | None
    """Where the model card is read."""
    report: str | None
    snippets: Sequence[Snippet]


def artifact_page(job: Job, artifacts: Sequence[Artifact], service: str) -> ArtifactPage | None:
    """None while nothing was published."""
    if not artifacts:
        return None
    hrefs = {artifact.name: _href(job.id, artifact.name) for artifact in artifacts}
    return ArtifactPage(
        files=[_file(artifact, hrefs[artifact.name]) for artifact in artifacts],
        size=" ".join(words.size(sum(artifact.bytes for artifact in artifacts))),
        card=hrefs.get("README.md"),
        report=hrefs.get("report.html"),
        snippets=_snippets(job, service),
    )


def folder_name(job: Job) -> str:
    """The job's name as a folder's, of characters that no shell or language reads anything into."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", job.name).strip("-.") or job.id


def _href(job_id: str, name: str) -> str:
    return f"/dashboard/jobs/{job_id}/files/{quote(name)}"


def _file(artifact: Artifact, href: str) -> FileLine:
    number, unit = words.size(artifact.bytes)
    return FileLine(artifact.name, number, unit, artifact.sha256, href)


def _snippets(job: Job, service: str) -> list[Snippet]:
    auto_class = TASK_TYPES[job.recipe["task"]["type"]].auto_class
    folder = folder_name(job)
    load = (
        f"from transformers import {auto_class}, AutoTokenizer\n\n"
        f'model = {auto_class}.from_pretrained("{folder}", trust_remote_code=True)\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}", trust_remote_code=True)\n'
    )
    return [
        Snippet("Download, with sums checked", f"rankwise download {job.id} {folder}"),
        Snippet("Load with plain transformers", load),
        Snippet(
            "One file by HTTP",
            f'curl -H "Authorization: Bearer $RANKWISE_KEY" -o model.safetensors \\\n'
            f"  {service}/v1/jobs/{job.id}/artifacts/model.safetensors/content",
        ),
    ]
