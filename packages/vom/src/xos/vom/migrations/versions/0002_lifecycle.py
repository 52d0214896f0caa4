# SPDX-License-Identifier: BSD-3-Clause
"""The life of a VO: accounts, requests, invitations, archives; what machines are and which VOs they serve."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and columns; each user there is becomes a person of their own."""
    _vos()
    _accounts()
    _members()
    _requests()
    _machines()


def _text(name: str, size: int | None = None, default: str = "") -> sa.Column[str]:
    kind = sa.Text() if size is None else sa.String(size)
    return sa.Column(name, kind, nullable=False, server_default=default)


def _integer(name: str, default: str = "0", *, big: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger() if big else sa.Integer(), nullable=False, server_default=default)


def _vos() -> None:
    with op.batch_alter_table("vos") as table:
        table.add_column(_integer("version", "1"))
        table.add_column(_text("creator", 160))
        table.add_column(sa.Column("registration", sa.Boolean(), nullable=False, server_default=sa.true()))
        table.add_column(_text("attributes"))
        table.add_column(_text("capabilities"))
        table.add_column(sa.Column("manager", sa.LargeBinary()))
        table.add_column(sa.Column("manager_key", sa.LargeBinary()))
    for name in ("groups", "roles"):
        with op.batch_alter_table(name) as table:
            table.add_column(_text("description"))


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
    )
    op.execute("insert into accounts (id, password, created) select id, password, created from users")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("select setval('accounts_id_seq', (select coalesce(max(id), 0) + 1 from accounts), false)")
    op.create_table(
        "identities",
        sa.Column("backend", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("backend", "subject", name="pk_identities"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_identities_account_id"),
    )
    op.create_index("ix_identities_account_id", "identities", ["account_id"])


def _members() -> None:
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("account_id", sa.Integer()))
        table.add_column(_text("capabilities"))
        table.add_column(_text("attributes", default="[]"))
        table.add_column(sa.Column("expires", sa.Double(), nullable=False, server_default="0"))
        table.add_column(_text("full_name", 200))
        table.add_column(_text("email", 254))
    op.execute("update users set account_id = id")
    with op.batch_alter_table("users") as table:
        table.alter_column("account_id", existing_type=sa.Integer(), nullable=False)
        table.create_foreign_key("fk_users_account_id", "accounts", ["account_id"], ["id"])
        table.drop_column("password")
    op.create_index("ix_users_account_id", "users", ["account_id"])
    op.create_table(
        "invitations",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_invitations"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_invitations_user_id"),
    )
    op.create_index("ix_invitations_expires", "invitations", ["expires"])


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("vo_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("full_name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("account_id", sa.Integer()),
        sa.Column("shown", sa.String(160), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("decided", sa.Double(), nullable=False),
        sa.Column("decided_by", sa.String(160), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
        sa.ForeignKeyConstraint(["vo_id"], ["vos.id"], name="fk_requests_vo_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_requests_account_id"),
    )
    op.create_index("ix_requests_account_id", "requests", ["account_id"])
    op.create_index("ix_requests_vo_id_state_created", "requests", ["vo_id", "state", "created"])
    op.create_table(
        "archives",
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("dissolved", sa.Double(), nullable=False),
        sa.Column("dissolved_by", sa.String(160), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("vo", name="pk_archives"),
    )


def _machines() -> None:
    with op.batch_alter_table("machines") as table:
        table.add_column(_text("state", 16, "active"))
        table.add_column(_integer("cores"))
        table.add_column(_integer("memory", big=True))
        for name in ("architecture", "site", "flavour"):
            table.add_column(_text(name, 64))
        for name in ("pinned", "scoped"):
            table.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(_integer("not_after", big=True))
        table.add_column(_text("approved_by", 160))
        table.add_column(_text("asked_key", 64))
        table.add_column(_text("asked_csr", 64))
        table.add_column(sa.Column("asked_certificate", sa.LargeBinary()))
        table.add_column(_integer("version", "1"))
    op.create_table(
        "machine_vos",
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("vo_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("node", "vo_id", name="pk_machine_vos"),
        sa.ForeignKeyConstraint(["node"], ["machines.node"], name="fk_machine_vos_node"),
        sa.ForeignKeyConstraint(["vo_id"], ["vos.id"], name="fk_machine_vos_vo_id"),
    )
    op.create_index("ix_machine_vos_vo_id", "machine_vos", ["vo_id"])
    with op.batch_alter_table("certificates") as table:
        table.add_column(_text("vos"))
    with op.batch_alter_table("join_tokens") as table:
        table.add_column(_text("vo", 64))
