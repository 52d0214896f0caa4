# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the DIR, alike on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

MIGRATIONS = "xos.xtreemfs.dir:migrations"
METADATA = sa.MetaData()
SERVICES = sa.Table(
    "services",
    METADATA,
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("node", sa.String(64), primary_key=True),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("free", sa.BigInteger, nullable=False),
    sa.Column("load", sa.Float, nullable=False),
    sa.Column("attributes", sa.LargeBinary, nullable=False),  # msgpack
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("heard", sa.BigInteger, nullable=False),  # Unix nanoseconds
)
VOLUMES = sa.Table(
    "volumes",
    METADATA,
    sa.Column("name", sa.String(130), primary_key=True),
    sa.Column("id", sa.String(32), nullable=False),
    sa.Column("mrc", sa.LargeBinary, nullable=False),  # msgpack: nodes
)
PAIRS = sa.Table(
    "pairs",
    METADATA,
    sa.Column("primary", sa.String(64), primary_key=True),
    sa.Column("backup", sa.String(64), nullable=False),  # empty: it was taken away
    sa.Column("term", sa.BigInteger, nullable=False),
    sa.Column("synced", sa.Boolean, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)
