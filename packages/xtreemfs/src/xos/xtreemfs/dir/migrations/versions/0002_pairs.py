# SPDX-License-Identifier: BSD-3-Clause
"""MRCs that have a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pairs",
        sa.Column("primary", sa.String(64), primary_key=True),
        sa.Column("backup", sa.String(64), nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("synced", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
