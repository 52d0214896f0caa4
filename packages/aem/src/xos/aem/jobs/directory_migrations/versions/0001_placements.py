# SPDX-License-Identifier: BSD-3-Clause
"""Placements of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "placements",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.String(96), nullable=False, unique=True),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("manager", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
    )
    op.create_index("ix_placements_owner_number", "placements", ["owner", "number"])
