# SPDX-License-Identifier: BSD-3-Clause
"""What is kept on disk: the tables of the VO database, alike on SQLite and PostgreSQL. Times are Unix seconds."""

from __future__ import annotations

import sqlalchemy as sa

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = sa.MetaData(naming_convention=NAMING)

_Name = sa.String(64)
_Digest = sa.String(64)
"""SHA-256, hex."""

VOS = sa.Table(
    "vos",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", _Name, nullable=False, unique=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)

GROUPS = sa.Table(
    "groups",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.UniqueConstraint("vo_id", "name"),
)

ROLES = sa.Table(
    "roles",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.UniqueConstraint("vo_id", "name"),
)

USERS = sa.Table(
    "users",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.Column("password", sa.String(255), nullable=False),
    sa.Column("group_id", sa.ForeignKey("groups.id"), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    # Grows with each change: whoever acts on what was read before, sees that it is old.
    sa.Column("version", sa.Integer, nullable=False),
    sa.UniqueConstraint("vo_id", "name"),
)

USER_GROUPS = sa.Table(
    "user_groups",
    METADATA,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("group_id", sa.ForeignKey("groups.id"), primary_key=True, index=True),
)

USER_ROLES = sa.Table(
    "user_roles",
    METADATA,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("role_id", sa.ForeignKey("roles.id"), primary_key=True, index=True),
)

MACHINES = sa.Table(
    "machines",
    METADATA,
    sa.Column("node", _Name, primary_key=True),
    sa.Column("roles", sa.Text, nullable=False),  # comma separated: what the next certificate says
    sa.Column("addresses", sa.Text, nullable=False),  # comma separated
    sa.Column("joined", sa.Double, nullable=False),
)

CERTIFICATES = sa.Table(
    "certificates",
    METADATA,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.ForeignKey("users.id")),  # exactly one of user_id and node
    sa.Column("node", sa.ForeignKey("machines.node")),
    sa.Column("issued", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False, index=True),
    sa.Index("ix_certificates_user_id_not_after", "user_id", "not_after"),
    sa.Index("ix_certificates_node_not_after", "node", "not_after"),
)

REVOCATIONS = sa.Table(
    "revocations",
    METADATA,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revoked", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False, index=True),
)

CRL_NUMBER = sa.Table(
    "crl_number",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),  # always 1
    sa.Column("number", sa.BigInteger, nullable=False),
)

JOIN_TOKENS = sa.Table(
    "join_tokens",
    METADATA,
    sa.Column("digest", _Digest, primary_key=True),
    sa.Column("node", _Name, nullable=False),
    sa.Column("addresses", sa.Text, nullable=False),
    sa.Column("made_by", sa.String(160), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False, index=True),
    sa.Column("used", sa.Double),
    sa.Column("csr", _Digest),  # of the CSR that used it
    sa.Column("certificate", sa.LargeBinary),  # what that CSR got
)
