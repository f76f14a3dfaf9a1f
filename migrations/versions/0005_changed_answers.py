"""Rows that a result answers otherwise than the dense model."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_changed_answer",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "answer", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_changed_answer_job_id_job"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_job_changed_answer_project_id_project")
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_job_changed_answer")),
    )
    op.create_index(
        op.f("ix_job_changed_answer_project_id"), "job_changed_answer", ["project_id"], unique=False
    )


def downgrade() -> None:
    op.drop_table("job_changed_answer")
