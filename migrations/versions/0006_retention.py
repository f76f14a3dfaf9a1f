"""How long a project keeps artifacts, events, workspaces and cache entries."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("artifacts_days", sa.Double(), nullable=True),
        sa.Column("events_days", sa.Double(), nullable=True),
        sa.Column("workspaces_days", sa.Double(), nullable=False),
        sa.Column("cache_days", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_retention_project_id_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention")),
        sa.UniqueConstraint("project_id", name=op.f("uq_retention_project_id")),
    )
    op.create_index(op.f("ix_retention_project_id"), "retention", ["project_id"], unique=False)
    op.add_column("job", sa.Column("artifact_dropped_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("job", "artifact_dropped_at")
    op.drop_table("retention")
