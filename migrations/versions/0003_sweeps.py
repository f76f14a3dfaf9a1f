"""Sweeps, and which one a job is of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sweep",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("spec", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_sweep_project_id_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweep")),
    )
    op.create_index(op.f("ix_sweep_project_id"), "sweep", ["project_id"])
    op.create_index("ix_sweep_list", "sweep", ["project_id", "created_at", "id"])
    op.add_column("job", sa.Column("sweep_id", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_job_sweep_id"), "job", ["sweep_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_job_sweep_id"), table_name="job")
    op.drop_column("job", "sweep_id")
    op.drop_table("sweep")
