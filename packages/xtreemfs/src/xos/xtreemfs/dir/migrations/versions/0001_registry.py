# SPDX-License-Identifier: BSD-3-Clause
"""Services and volumes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "services",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("free", sa.BigInteger, nullable=False),
        sa.Column("load", sa.Float, nullable=False),
        sa.Column("attributes", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("heard", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "volumes",
        sa.Column("name", sa.String(130), primary_key=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("mrc", sa.LargeBinary, nullable=False),
    )
