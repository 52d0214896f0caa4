# SPDX-License-Identifier: BSD-3-Clause
"""Jobs, their units, their orders, and strays."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ACTIVE = sa.text("state IN ('PENDING', 'SCHEDULED', 'RUNNING')")


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(96), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("needs", sa.LargeBinary, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("submitted", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("ending", sa.String(16)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("started", sa.Double),
        sa.Column("ended", sa.Double),
    )
    op.create_index("ix_jobs_owner_sequence", "jobs", ["owner", "sequence"])
    op.create_index("ix_jobs_active", "jobs", ["sequence"], sqlite_where=_ACTIVE, postgresql_where=_ACTIVE)
    op.create_table(
        "units",
        sa.Column("job_id", sa.String(96), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("ended", sa.Double),
        sa.Column("cpu_seconds", sa.Double, nullable=False),
        sa.Column("memory_peak", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "orders",
        sa.Column("job_id", sa.String(96), primary_key=True),
        sa.Column("signed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "strays",
        sa.Column("unit_id", sa.String(112), primary_key=True),
        sa.Column("node", sa.String(64), nullable=False),
    )
