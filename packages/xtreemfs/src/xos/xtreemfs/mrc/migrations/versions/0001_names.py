# SPDX-License-Identifier: BSD-3-Clause
"""Volumes, inodes, directory entries, extended attributes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "volumes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("root", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_volumes"),
        sa.UniqueConstraint("name", name="uq_volumes_name"),
    )
    _inodes()
    op.create_table(
        "entries",
        sa.Column("cookie", _ID, nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cookie", name="pk_entries"),
        sa.UniqueConstraint("parent", "name", name="uq_entries_parent_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_entries_inode", "entries", ["inode"])
    op.create_index("ix_entries_parent_cookie", "entries", ["parent", "cookie"])
    op.create_table(
        "xattrs",
        sa.Column("inode", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("inode", "name", name="pk_xattrs"),
    )


def _inodes() -> None:
    op.create_table(
        "inodes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("volume_id", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.Integer(), nullable=False),
        sa.Column("nlink", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.Column("owner_group", sa.String(160), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("atime", sa.BigInteger(), nullable=False),
        sa.Column("mtime", sa.BigInteger(), nullable=False),
        sa.Column("ctime", sa.BigInteger(), nullable=False),
        sa.Column("rdev", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_inodes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inodes_volume_id", "inodes", ["volume_id"])
    nameless = sa.text("nlink = 0")
    op.create_index("ix_inodes_nameless", "inodes", ["id"], sqlite_where=nameless, postgresql_where=nameless)
