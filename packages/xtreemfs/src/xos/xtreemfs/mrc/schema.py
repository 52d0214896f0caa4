# SPDX-License-Identifier: BSD-3-Clause
"""What the MRC keeps: tables alike on SQLite and PostgreSQL. Times are Unix nanoseconds, identities ``alice@demo``."""

from __future__ import annotations

import sqlalchemy as sa

MIGRATIONS = "xos.xtreemfs.mrc:migrations"
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = sa.MetaData(naming_convention=NAMING)
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of exactly this type; it holds 64 bits there too."""

VOLUMES = sa.Table(
    "volumes",
    METADATA,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("root", sa.BigInteger, nullable=False),
)

INODES = sa.Table(
    "inodes",
    METADATA,
    # Never given twice, so that a capability for a file that is gone opens no other.
    sa.Column("id", _Id, primary_key=True),
    sa.Column("volume_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("mode", sa.Integer, nullable=False),
    sa.Column("nlink", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(160), nullable=False),
    sa.Column("owner_group", sa.String(160), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("atime", sa.BigInteger, nullable=False),
    sa.Column("mtime", sa.BigInteger, nullable=False),
    sa.Column("ctime", sa.BigInteger, nullable=False),
    sa.Column("rdev", sa.BigInteger, nullable=False),
    sa.Column("parent", sa.BigInteger, nullable=False),  # of a directory: where ".." leads; else 0
    sa.Column("target", sa.LargeBinary),  # of a symbolic link
    sqlite_autoincrement=True,
)
sa.Index("ix_inodes_nameless", INODES.c.id, sqlite_where=INODES.c.nlink == 0, postgresql_where=INODES.c.nlink == 0)

ENTRIES = sa.Table(
    "entries",
    METADATA,
    # Grows: where a reader of a directory goes on, whatever comes and goes meanwhile.
    sa.Column("cookie", _Id, primary_key=True),
    sa.Column("parent", sa.BigInteger, nullable=False),
    sa.Column("name", sa.LargeBinary, nullable=False),
    sa.Column("inode", sa.BigInteger, nullable=False, index=True),
    sa.UniqueConstraint("parent", "name"),
    sa.Index("ix_entries_parent_cookie", "parent", "cookie"),
    sqlite_autoincrement=True,
)

XATTRS = sa.Table(
    "xattrs",
    METADATA,
    sa.Column("inode", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.LargeBinary, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
