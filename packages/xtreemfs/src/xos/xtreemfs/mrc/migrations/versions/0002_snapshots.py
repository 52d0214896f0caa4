# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots: volumes that are copies of others, and inodes that are copies of theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen volumes' names, and say what is a copy of what."""
    with op.batch_alter_table("volumes") as table:
        table.alter_column("name", type_=sa.String(130), existing_type=sa.String(64), existing_nullable=False)
        for name in ("number", "reserved", "made"):
            table.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("origin", sa.String(32), nullable=False, server_default=""))
        table.add_column(sa.Column("path", sa.Text(), nullable=False, server_default=""))
    op.add_column("inodes", sa.Column("origin", sa.BigInteger(), nullable=False, server_default="0"))
    copies = sa.text("origin <> 0")
    op.create_index(
        "ix_inodes_volume_id_origin",
        "inodes",
        ["volume_id", "origin"],
        sqlite_where=copies,
        postgresql_where=copies,
    )
