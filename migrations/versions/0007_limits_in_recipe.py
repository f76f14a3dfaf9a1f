"""A job's limit on time is where its other limits are: in its recipe."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("job", "max_runtime_s")


def downgrade() -> None:
    op.add_column(
        "job", sa.Column("max_runtime_s", sa.Integer(), nullable=False, server_default="14400")
    )
