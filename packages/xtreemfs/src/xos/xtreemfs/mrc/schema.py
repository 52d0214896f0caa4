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
    sa.Column("name", sa.String(130), nullable=False, unique=True),
    sa.Column("root", sa.BigInteger, nullable=False),
    sa.Column("uuid", sa.String(32), nullable=False),
    sa.Column("owner", sa.String(160), nullable=False),
    sa.Column("policy", sa.LargeBinary, nullable=False),  # msgpack of a `Policy`
    sa.Column("quota", sa.BigInteger, nullable=False),  # bytes; 0: none
    sa.Column("number", sa.BigInteger, nullable=False, server_default="0"),  # see `mrc.snapshots`
    sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),  # the highest that OSDs may know
    sa.Column("made", sa.BigInteger, nullable=False, server_default="0"),  # of a snapshot
    sa.Column("origin", sa.String(32), nullable=False, server_default=""),  # of a snapshot: the volume's uuid
    sa.Column("path", sa.Text, nullable=False, server_default=""),  # of a snapshot
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
    sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"),  # of the last truncation
    sa.Column("acl", sa.Text, nullable=False, server_default=""),
    sa.Column("default_acl", sa.Text, nullable=False, server_default=""),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),  # of the last revocation
    sa.Column("policy", sa.LargeBinary),  # of a directory that has one of its own
    sa.Column("layout", sa.LargeBinary),  # of a file that was placed: msgpack of a `Layout`
    sa.Column("origin", sa.BigInteger, nullable=False, server_default="0"),  # in a snapshot: what it is a copy of
    sqlite_autoincrement=True,
)
sa.Index(
    "ix_inodes_volume_id_origin",
    INODES.c.volume_id,
    INODES.c.origin,
    sqlite_where=INODES.c.origin != 0,
    postgresql_where=INODES.c.origin != 0,
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

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("volume_id", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("client", sa.String(200), nullable=False),
)

ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("session", sa.String(32), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)

HANDLES = sa.Table(
    "handles",
    METADATA,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("session", sa.String(32), nullable=False, index=True),
    sa.Column("inode", sa.BigInteger, nullable=False, index=True),
    sa.Column("access", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)

LOCKS = sa.Table(
    "locks",
    METADATA,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("session", sa.String(32), nullable=False, index=True),
    sa.Column("inode", sa.BigInteger, nullable=False, index=True),
    sa.Column("owner", sa.String(20), nullable=False),  # an unsigned number of 64 bits
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("exclusive", sa.Boolean, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("bsd", sa.Boolean, nullable=False),
)

# Directories whose names a session alone knows and changes.
LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("directory", sa.BigInteger, nullable=False, unique=True),
    sa.Column("session", sa.String(32), nullable=False, index=True),
    sa.Column("volume_id", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# What OSDs are still to be told, until they have heard it.
CHORES = sa.Table(
    "chores",
    METADATA,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("node", sa.String(64), nullable=False),
    sa.Column("file_id", sa.String(64), nullable=False, index=True),
    # Refuse capabilities of an older one; NULL: delete the share. Of a volume: which snapshots there are, as of this.
    sa.Column("revision", sa.BigInteger),
)

USAGE = sa.Table(
    "usage",
    METADATA,
    sa.Column("volume_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(160), primary_key=True),
    sa.Column("owner_group", sa.String(160), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("files", sa.BigInteger, nullable=False),
)

QUOTAS = sa.Table(
    "quotas",
    METADATA,
    sa.Column("volume_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(8), primary_key=True),  # user or group
    sa.Column("name", sa.String(160), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)

# One row: of an MRC with a backup. Whoever has been in a pair serves only when the DIR says so.
STANDING = sa.Table(
    "standing",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("term", sa.BigInteger, nullable=False),  # 0: never in a pair
    sa.Column("position", sa.BigInteger, nullable=False),  # groups of changes since there is a pair
)
