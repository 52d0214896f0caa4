# SPDX-License-Identifier: BSD-3-Clause
"""VOs, members, machines, certificates, revocations, join tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _people()
    _machines()
    _ledger()


def _people() -> None:
    op.create_table(
        "vos",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vos"),
        sa.UniqueConstraint("name", name="uq_vos_name"),
    )
    for table in ("groups", "roles"):
        op.create_table(
            table,
            sa.Column("id", sa.Integer(), nullable=False),
            sa.Column("vo_id", sa.Integer(), nullable=False),
            sa.Column("name", sa.String(64), nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(["vo_id"], ["vos.id"], name=f"fk_{table}_vo_id"),
            sa.UniqueConstraint("vo_id", "name", name=f"uq_{table}_vo_id_name"),
        )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vo_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(["vo_id"], ["vos.id"], name="fk_users_vo_id"),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_users_group_id"),
        sa.UniqueConstraint("vo_id", "name", name="uq_users_vo_id_name"),
    )
    op.create_index("ix_users_group_id", "users", ["group_id"])
    for table, column, other in (("user_groups", "group_id", "groups"), ("user_roles", "role_id", "roles")):
        op.create_table(
            table,
            sa.Column("user_id", sa.Integer(), nullable=False),
            sa.Column(column, sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("user_id", column, name=f"pk_{table}"),
            sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id"),
            sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}"),
        )
        op.create_index(f"ix_{table}_{column}", table, [column])


def _machines() -> None:
    op.create_table(
        "machines",
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("joined", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_machines"),
    )
    op.create_table(
        "join_tokens",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(160), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Double()),
        sa.Column("csr", sa.String(64)),
        sa.Column("certificate", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("digest", name="pk_join_tokens"),
    )
    op.create_index("ix_join_tokens_expires", "join_tokens", ["expires"])


def _ledger() -> None:
    op.create_table(
        "certificates",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.Integer()),
        sa.Column("node", sa.String(64)),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_certificates"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_certificates_user_id"),
        sa.ForeignKeyConstraint(["node"], ["machines.node"], name="fk_certificates_node"),
    )
    op.create_index("ix_certificates_not_after", "certificates", ["not_after"])
    op.create_index("ix_certificates_user_id_not_after", "certificates", ["user_id", "not_after"])
    op.create_index("ix_certificates_node_not_after", "certificates", ["node", "not_after"])
    op.create_table(
        "revocations",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revoked", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_revocations"),
    )
    op.create_index("ix_revocations_not_after", "revocations", ["not_after"])
    op.create_table(
        "crl_number",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_crl_number"),
    )
