# SPDX-License-Identifier: BSD-3-Clause
"""A job knows how many units it has; PENDING units have no rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From 0001."""
    op.add_column("jobs", sa.Column("unit_count", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE jobs SET unit_count = (SELECT count(*) FROM units WHERE units.job_id = jobs.job_id)")
    op.execute("DELETE FROM units WHERE state = 'PENDING'")
