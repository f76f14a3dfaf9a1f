"""Uploaded models, and a project's token for the hub."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hub_token",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("encrypted", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_hub_token_project_id_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_token")),
        sa.UniqueConstraint("project_id", name=op.f("uq_hub_token_project_id")),
    )
    op.create_index(op.f("ix_hub_token_project_id"), "hub_token", ["project_id"])
    op.create_table(
        "uploaded_model",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("family", sa.String(length=64), nullable=False),
        sa.Column("params", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column(
            "files", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("storage_prefix", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_uploaded_model_project_id_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploaded_model")),
    )
    op.create_index(op.f("ix_uploaded_model_project_id"), "uploaded_model", ["project_id"])


def downgrade() -> None:
    op.drop_table("uploaded_model")
    op.drop_table("hub_token")
