# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what: one table, and the pure functions that read it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from xos.common.identity import Identity, Kind
from xos.vom.errors import Forbidden

ADMIN_ROLE = "VOAdmin"
CORE_ROLE = "core"
"""In the machine certificate of a node that hosts the VO services."""


class Standing(enum.StrEnum):
    """What a caller is, as seen from a VO and a user in it. The text completes "Allowed: …"."""

    CORE = "the core machine's own certificate"
    MACHINE = "any machine of the grid"
    ADMIN = "a VOAdmin of the VO"
    MEMBER = "any member of the VO"
    SELF = "the user"


class Act(enum.StrEnum):
    """What can be allowed. The text completes "… may not …"."""

    CREATE_VO = "create VOs"
    SEE_VO = "see this VO"
    ADD_USER = "add users to this VO"
    LIST_USERS = "list the users of this VO"
    SEE_USER = "see this user"
    LIST_GROUPS = "list the groups of this VO"
    SET_STATE = "suspend or resume users of this VO"
    SET_PASSWORD = "change this user's password"  # noqa: S105
    RESET_PASSWORD = "set this user's password without the present one"  # noqa: S105
    RENEW_USER = "renew this user's certificate"
    CREATE_TOKEN = "make join tokens"  # noqa: S105
    RENEW_MACHINE = "renew a machine certificate"
    SEE_POLICIES = "see the policies of this VO"
    CHANGE_POLICIES = "change or try the policies of this VO"
    EXPLAIN = "ask what this user may do"
    SEE_USAGE = "see what this user has used"
    SET_QUOTA = "set quotas of this VO"
    SEE_TRAIL = "see the audit trail of this VO"
    SEE_ALL_TRAILS = "see the audit trail of all VOs"
    SEE_CHAIN = "see the chains of records themselves"
    CERTIFY = "certify the head of a chain"


ALLOWED: Mapping[Act, frozenset[Standing]] = MappingProxyType(
    {
        Act.CREATE_VO: frozenset({Standing.CORE}),
        Act.SEE_VO: frozenset({Standing.MACHINE, Standing.MEMBER}),
        Act.ADD_USER: frozenset({Standing.CORE, Standing.ADMIN}),
        Act.LIST_USERS: frozenset({Standing.CORE, Standing.ADMIN}),
        Act.SEE_USER: frozenset({Standing.CORE, Standing.ADMIN, Standing.SELF}),
        Act.LIST_GROUPS: frozenset({Standing.CORE, Standing.MEMBER}),
        Act.SET_STATE: frozenset({Standing.CORE, Standing.ADMIN}),
        Act.SET_PASSWORD: frozenset({Standing.CORE, Standing.ADMIN, Standing.SELF}),
        # A stolen certificate is good for hours: it must not become a password that is good for years.
        Act.RESET_PASSWORD: frozenset({Standing.CORE, Standing.ADMIN}),
        Act.RENEW_USER: frozenset({Standing.SELF}),
        # A machine certificate is good in every VO, so no single VO's administrator may hand one out.
        Act.CREATE_TOKEN: frozenset({Standing.CORE}),
        Act.RENEW_MACHINE: frozenset({Standing.MACHINE}),
        Act.SEE_POLICIES: frozenset({Standing.CORE, Standing.MEMBER}),
        Act.CHANGE_POLICIES: frozenset({Standing.CORE, Standing.ADMIN}),
        Act.EXPLAIN: frozenset({Standing.CORE, Standing.ADMIN, Standing.SELF}),
        Act.SEE_USAGE: frozenset({Standing.CORE, Standing.ADMIN, Standing.SELF}),
        Act.SET_QUOTA: frozenset({Standing.CORE, Standing.ADMIN}),
        Act.SEE_TRAIL: frozenset({Standing.CORE, Standing.ADMIN}),
        # A chain runs through all VOs: digests alone tell nothing of others, entries would.
        Act.SEE_ALL_TRAILS: frozenset({Standing.CORE}),
        Act.SEE_CHAIN: frozenset({Standing.CORE}),
        Act.CERTIFY: frozenset({Standing.CORE, Standing.ADMIN}),
    }
)


def standings(caller: Identity, vo: str = "", user: str = "") -> frozenset[Standing]:
    """Everything that *caller* is towards *vo* and its member *user*; an anonymous caller is nothing."""
    found = set()
    if caller.kind is Kind.MACHINE:
        found.add(Standing.MACHINE)
        if CORE_ROLE in caller.roles:
            found.add(Standing.CORE)
    elif caller.kind is Kind.USER and vo:
        # Roles and the user's name belong to the certificate's primary VO alone.
        if caller.vo == vo:
            found.add(Standing.MEMBER)
            if ADMIN_ROLE in caller.roles:
                found.add(Standing.ADMIN)
            if user and caller.name == user:
                found.add(Standing.SELF)
        elif vo in caller.vos:
            found.add(Standing.MEMBER)
    return frozenset(found)


def allows(act: Act, caller: Identity, vo: str = "", user: str = "") -> bool:
    """Whether the table lets *caller* do *act*."""
    return not ALLOWED[act].isdisjoint(standings(caller, vo, user))


def require(act: Act, caller: Identity, vo: str = "", user: str = "") -> None:
    """Raise `Forbidden`, which tells who may, unless the table lets *caller* do *act*."""
    if not allows(act, caller, vo, user):
        who = "; ".join(sorted(ALLOWED[act]))
        raise Forbidden(caller=str(caller), act=act.value, allowed=who)
