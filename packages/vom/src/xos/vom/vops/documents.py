# SPDX-License-Identifier: BSD-3-Clause
"""The policy documents of a VO: those built in, those kept, and their history. Functions of one connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy as sa

from xos.common.policy import PolicySet
from xos.vom.api import Policy
from xos.vom.errors import BadName
from xos.vom.records.store import POLICIES

MOST_DOCUMENTS = 200
"""Of one VO."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "members": """// Members may use the resources of the VO: run jobs, reserve, log in.
// Replace this document to say who may, or add others that forbid: a forbid always wins.
@id("may-use")
permit (principal in VO::"{vo}", action in Action::"use", resource);
""",
        "administrators": """// Who may change the policies of the VO (and must be an administrator besides).
@id("may-manage")
permit (principal in VO::"{vo}", action == Action::"managePolicies", resource == VO::"{vo}");
""",
        "quotas": """// A quota that is used up ends jobs to come, not those that run. Quotas are set with xos-usage.
@id("used-up")
forbid (principal, action in [Action::"runJob", Action::"reserve"], resource)
when {{ context.quotaExceeded }};
""",
    }
)


def check_document_name(name: str) -> str:
    """*name*, if a document may be called so. Raises `BadName`."""
    if _NAME.fullmatch(name) is None:
        raise BadName(what="policy", name=name[:80], rule="1 to 64 of a-z 0-9 . _ - and first a letter or digit")
    return name


def built_in(vo: str) -> dict[str, Policy]:
    """The documents that every VO begins with."""
    return {name: Policy(vo, name, text.format(vo=vo), 0) for name, text in _BUILT_IN.items()}


def current(connection: sa.Connection, vo: str) -> dict[str, Policy]:
    """Every document by name as it stands, removed ones too: the next change builds on their versions."""
    newest = (
        sa.select(POLICIES.c.name, sa.func.max(POLICIES.c.version).label("version"))
        .where(POLICIES.c.vo == vo)
        .group_by(POLICIES.c.name)
        .subquery()
    )
    query = sa.select(POLICIES).join(
        newest, sa.and_(POLICIES.c.name == newest.c.name, POLICIES.c.version == newest.c.version)
    )
    kept = {row.name: _policy(row) for row in connection.execute(query.where(POLICIES.c.vo == vo))}
    return {**built_in(vo), **kept}


def history(connection: sa.Connection, vo: str, name: str, before: float, limit: int) -> list[Policy]:
    """Versions, the newest first."""
    query = sa.select(POLICIES).where(POLICIES.c.vo == vo)
    if name:
        query = query.where(POLICIES.c.name == name)
    if before:
        query = query.where(POLICIES.c.changed < before)
    query = query.order_by(POLICIES.c.changed.desc(), POLICIES.c.version.desc()).limit(limit)
    return [_policy(row) for row in connection.execute(query)]


def insert(connection: sa.Connection, policy: Policy) -> None:
    """Add a version."""
    connection.execute(
        POLICIES.insert(),
        {
            "vo": policy.vo,
            "name": policy.name,
            "version": policy.version,
            "text": policy.text,
            "removed": policy.removed,
            "note": policy.note,
            "changed": policy.changed,
            "changed_by": policy.changed_by,
        },
    )


def texts(policies: Mapping[str, Policy]) -> dict[str, str]:
    """The documents in effect, as `PolicySet.parse` takes them."""
    return {name: policy.text for name, policy in sorted(policies.items()) if not policy.removed}


def rules_of(policies: PolicySet, name: str) -> tuple[str, ...]:
    """The names of the rules in the document *name*."""
    return tuple(rule.name for rule in policies.rules if rule.document == name)


def _policy(row: sa.Row[tuple[object, ...]]) -> Policy:
    return Policy(**row._mapping)  # noqa: SLF001 -- SQLAlchemy's public name for it
