# SPDX-License-Identifier: BSD-3-Clause
"""What an MRC is in its pair."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and its row: never in a pair."""
    table = op.create_table(
        "standing",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_standing"),
    )
    op.bulk_insert(table, [{"id": 1, "term": 0, "position": 0}])
