# SPDX-License-Identifier: BSD-3-Clause
"""Chains, acts, usage, quotas, policies, requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _chains()
    _usage()
    _policies()


def _chains() -> None:
    op.create_table(
        "chain",
        sa.Column("log", sa.String(16), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "number", name="pk_chain"),
    )
    op.create_table(
        "certifications",
        sa.Column("log", sa.String(16), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("by", sa.String(160), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "number", "by", name="pk_certifications"),
    )
    op.create_table(
        "acts",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("act", sa.String(64), nullable=False),
        sa.Column("who", sa.String(160), nullable=False),
        sa.Column("origin", sa.String(64), nullable=False),
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_acts"),
    )
    op.create_index("ix_acts_vo_number", "acts", ["vo", "number"])


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record_id", sa.String(300), nullable=False),
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("ended", sa.Double(), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("wall", sa.Double(), nullable=False),
        sa.Column("cpu", sa.Double(), nullable=False),
        sa.Column("processors", sa.Integer(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_usage"),
        sa.UniqueConstraint("record_id", name="uq_usage_record_id"),
    )
    op.create_index("ix_usage_vo_ended", "usage", ["vo", "ended"])
    op.create_index("ix_usage_vo_user_ended", "usage", ["vo", "user", "ended"])
    op.create_table(
        "quotas",
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("by", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("period", sa.String(8), nullable=False),
        sa.Column("cpu_seconds", sa.Double()),
        sa.Column("wall_seconds", sa.Double()),
        sa.Column("units", sa.BigInteger()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("vo", "by", "subject", "period", name="pk_quotas"),
    )


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("vo", "name", "version", name="pk_policies"),
    )
    op.create_table(
        "policy_requests",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("vo", sa.String(64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_policy_requests"),
    )
    op.create_index("ix_policy_requests_vo_number", "policy_requests", ["vo", "number"])
    op.create_index("ix_policy_requests_at", "policy_requests", ["at"])
