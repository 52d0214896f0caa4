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
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("creator", sa.String(160), nullable=False, server_default=""),
    sa.Column("registration", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("attributes", sa.Text, nullable=False, server_default=""),  # comma separated: what it supports
    sa.Column("capabilities", sa.Text, nullable=False, server_default=""),  # comma separated
    sa.Column("manager", sa.LargeBinary),  # the VO manager's certificate, DER
    sa.Column("manager_key", sa.LargeBinary),  # PEM, encrypted as the CA's
)

ACCOUNTS = sa.Table(
    "accounts",  # a person: one, however many VOs they are in
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("password", sa.String(255), nullable=False),  # empty: none
    sa.Column("created", sa.Double, nullable=False),
)

IDENTITIES = sa.Table(
    "identities",
    METADATA,
    sa.Column("backend", sa.String(32), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("account_id", sa.ForeignKey("accounts.id"), nullable=False, index=True),
)

GROUPS = sa.Table(
    "groups",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("vo_id", "name"),
)

ROLES = sa.Table(
    "roles",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("vo_id", "name"),
)

USERS = sa.Table(
    "users",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.Column("account_id", sa.ForeignKey("accounts.id"), nullable=False, index=True),
    sa.Column("group_id", sa.ForeignKey("groups.id"), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    # Grows with each change: whoever acts on what was read before, sees that it is old.
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("capabilities", sa.Text, nullable=False, server_default=""),  # comma separated
    sa.Column("attributes", sa.Text, nullable=False, server_default="[]"),  # JSON, pairs
    sa.Column("expires", sa.Double, nullable=False, server_default="0"),  # 0: never
    sa.Column("full_name", sa.String(200), nullable=False, server_default=""),
    sa.Column("email", sa.String(254), nullable=False, server_default=""),
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

REQUESTS = sa.Table(
    "requests",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), nullable=False),
    sa.Column("name", _Name, nullable=False),
    sa.Column("full_name", sa.String(200), nullable=False),
    sa.Column("email", sa.String(254), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("password", sa.String(255), nullable=False),
    sa.Column("account_id", sa.ForeignKey("accounts.id"), index=True),  # of the certificate that was shown
    sa.Column("shown", sa.String(160), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("decided", sa.Double, nullable=False),
    sa.Column("decided_by", sa.String(160), nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Index("ix_requests_vo_id_state_created", "vo_id", "state", "created"),
)

INVITATIONS = sa.Table(
    "invitations",
    METADATA,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True, autoincrement=False),
    sa.Column("digest", _Digest, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False, index=True),
)

ARCHIVES = sa.Table(
    "archives",
    METADATA,
    sa.Column("vo", _Name, primary_key=True),
    sa.Column("dissolved", sa.Double, nullable=False),
    sa.Column("dissolved_by", sa.String(160), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

MACHINES = sa.Table(
    "machines",
    METADATA,
    sa.Column("node", _Name, primary_key=True),
    sa.Column("roles", sa.Text, nullable=False),  # comma separated: what the next certificate says
    sa.Column("addresses", sa.Text, nullable=False),  # comma separated
    sa.Column("joined", sa.Double, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, server_default="active"),
    sa.Column("cores", sa.Integer, nullable=False, server_default="0"),
    sa.Column("memory", sa.BigInteger, nullable=False, server_default="0"),  # bytes
    sa.Column("architecture", sa.String(64), nullable=False, server_default=""),
    sa.Column("site", sa.String(64), nullable=False, server_default=""),
    sa.Column("flavour", sa.String(64), nullable=False, server_default=""),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),  # attributes told by a person
    sa.Column("scoped", sa.Boolean, nullable=False, server_default=sa.false()),  # it serves its VOs only, else all
    sa.Column("not_after", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("approved_by", sa.String(160), nullable=False, server_default=""),
    sa.Column("asked_key", _Digest, nullable=False, server_default=""),  # of the public key that asked to join
    sa.Column("asked_csr", _Digest, nullable=False, server_default=""),  # of the CSR that got asked_certificate
    sa.Column("asked_certificate", sa.LargeBinary),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
)

MACHINE_VOS = sa.Table(
    "machine_vos",
    METADATA,
    sa.Column("node", sa.ForeignKey("machines.node"), primary_key=True),
    sa.Column("vo_id", sa.ForeignKey("vos.id"), primary_key=True, autoincrement=False, index=True),
)

CERTIFICATES = sa.Table(
    "certificates",
    METADATA,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.ForeignKey("users.id")),  # exactly one of user_id and node
    sa.Column("node", sa.ForeignKey("machines.node")),
    sa.Column("issued", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False, index=True),
    sa.Column("vos", sa.Text, nullable=False, server_default=""),  # further VOs, each between commas: ",a,b,"
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
    sa.Column("vo", _Name, nullable=False, server_default=""),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False, index=True),
    sa.Column("used", sa.Double),
    sa.Column("csr", _Digest),  # of the CSR that used it
    sa.Column("certificate", sa.LargeBinary),  # what that CSR got
)
