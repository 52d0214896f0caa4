# SPDX-License-Identifier: BSD-3-Clause
"""The tables of chains, usage, quotas and policies: in the VO database, with migrations of their own.

Times are Unix seconds.
"""

from __future__ import annotations

import sqlalchemy as sa

from xos.vom.store import NAMING

MIGRATIONS = "xos.vom.records:migrations"
METADATA = sa.MetaData(naming_convention=NAMING)

_Name = sa.String(64)

CHAIN = sa.Table(
    "chain",
    METADATA,
    sa.Column("log", sa.String(16), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)

CERTIFICATIONS = sa.Table(
    "certifications",
    METADATA,
    sa.Column("log", sa.String(16), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("by", sa.String(160), primary_key=True),
    sa.Column("signed", sa.LargeBinary, nullable=False),  # msgpack of Signed
)

ACTS = sa.Table(  # what the chain's entries of AUDIT say, to look in
    "acts",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("act", _Name, nullable=False),
    sa.Column("who", sa.String(160), nullable=False),
    sa.Column("origin", _Name, nullable=False),
    sa.Column("vo", _Name, nullable=False),
    sa.Column("target", sa.String(200), nullable=False),
    sa.Column("detail", sa.LargeBinary, nullable=False),  # msgpack
    sa.Index("ix_acts_vo_number", "vo", "number"),
)

USAGE = sa.Table(  # what the chain's entries of USAGE say, to add up
    "usage",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("record_id", sa.String(300), nullable=False, unique=True),
    sa.Column("vo", _Name, nullable=False),
    sa.Column("user", _Name, nullable=False),
    sa.Column("group", _Name, nullable=False),
    sa.Column("node", _Name, nullable=False),
    sa.Column("ended", sa.Double, nullable=False),
    sa.Column("day", sa.String(10), nullable=False),  # 2026-11-26, UTC
    sa.Column("failed", sa.Integer, nullable=False),  # 0 or 1
    sa.Column("wall", sa.Double, nullable=False),
    sa.Column("cpu", sa.Double, nullable=False),
    sa.Column("processors", sa.Integer, nullable=False),
    sa.Column("memory", sa.BigInteger, nullable=False),
    sa.Index("ix_usage_vo_ended", "vo", "ended"),
    sa.Index("ix_usage_vo_user_ended", "vo", "user", "ended"),
)

QUOTAS = sa.Table(
    "quotas",
    METADATA,
    sa.Column("vo", _Name, primary_key=True),
    sa.Column("by", sa.String(8), primary_key=True),
    sa.Column("subject", _Name, primary_key=True),
    sa.Column("period", sa.String(8), primary_key=True),
    sa.Column("cpu_seconds", sa.Double),
    sa.Column("wall_seconds", sa.Double),
    sa.Column("units", sa.BigInteger),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("changed", sa.Double, nullable=False),
    sa.Column("changed_by", sa.String(160), nullable=False),
)

POLICIES = sa.Table(  # every version of every document; the one with the highest number is in effect
    "policies",
    METADATA,
    sa.Column("vo", _Name, primary_key=True),
    sa.Column("name", _Name, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("removed", sa.Boolean, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("changed", sa.Double, nullable=False),
    sa.Column("changed_by", sa.String(160), nullable=False),
)

REQUESTS = sa.Table(  # what VOPS was asked, to try drafts on
    "policy_requests",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("vo", _Name, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),  # msgpack of the engine's request
    sa.Column("allowed", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("ix_policy_requests_vo_number", "vo", "number"),
    sa.Index("ix_policy_requests_at", "at"),
)
