"""Unfinished jobs that take another job's result as their model: what they read has to stay."""

from typing import Any

from sqlalchemy import ColumnElement, and_

from core.database.states import FINISHED
from core.database.tables import Job


def reads_result_of(reader: type[Job], project_id: str, job_id: Any) -> ColumnElement[bool]:
    """Of a reader, which may be an alias; `job_id` is a value or a column of another job."""
    return and_(
        reader.project_id == project_id,
        reader.state.not_in(FINISHED),
        reader.recipe["model"]["type"].as_string() == "job",
        reader.recipe["model"]["id"].as_string() == job_id,
    )
