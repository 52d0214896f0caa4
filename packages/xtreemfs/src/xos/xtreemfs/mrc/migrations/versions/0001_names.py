# SPDX-License-Identifier: BSD-3-Clause
"""Volumes, inodes, names; sessions and what hangs on them; what OSDs are to be told; usage."""

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
        sa.Column("uuid", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.Column("policy", sa.LargeBinary(), nullable=False),
        sa.Column("quota", sa.BigInteger(), nullable=False),
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
    _sessions()
    _locks()
    _accounts()


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
        sa.Column("epoch", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("acl", sa.Text(), nullable=False, server_default=""),
        sa.Column("default_acl", sa.Text(), nullable=False, server_default=""),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("policy", sa.LargeBinary()),
        sa.Column("layout", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_inodes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inodes_volume_id", "inodes", ["volume_id"])
    nameless = sa.text("nlink = 0")
    op.create_index("ix_inodes_nameless", "inodes", ["id"], sqlite_where=nameless, postgresql_where=nameless)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("volume_id", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("client", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_table(
        "answers",
        sa.Column("session", sa.String(32), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", "number", name="pk_answers"),
    )
    op.create_table(
        "handles",
        sa.Column("id", _ID, nullable=False),
        sa.Column("session", sa.String(32), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("access", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_handles"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_handles_session", "handles", ["session"])
    op.create_index("ix_handles_inode", "handles", ["inode"])


def _locks() -> None:
    op.create_table(
        "locks",
        sa.Column("id", _ID, nullable=False),
        sa.Column("session", sa.String(32), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(20), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("bsd", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_locks"),
    )
    op.create_index("ix_locks_session", "locks", ["session"])
    op.create_index("ix_locks_inode", "locks", ["inode"])


def _accounts() -> None:
    op.create_table(
        "chores",
        sa.Column("id", _ID, nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("file_id", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_chores"),
    )
    op.create_index("ix_chores_file_id", "chores", ["file_id"])
    op.create_table(
        "usage",
        sa.Column("volume_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(160), nullable=False),
        sa.Column("owner_group", sa.String(160), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("volume_id", "owner", "owner_group", name="pk_usage"),
    )
    op.create_table(
        "quotas",
        sa.Column("volume_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(160), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("volume_id", "kind", "name", name="pk_quotas"),
    )
