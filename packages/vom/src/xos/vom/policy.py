# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what: one table, and the pure functions that read it.

The manual shows the same table (``docs/manual/who-may-do-what.md``, made by `xos.vom.roles_page`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from xos.common.identity import Identity, Kind
from xos.vom.errors import Forbidden

ADMIN_ROLE = "VOAdmin"
MANAGER_ROLE = "VOManager"
RESOURCE_ROLE = "ResourceAdmin"
CREATOR_ROLE = "VOCreator"
CORE_ROLE = "core"
"""In the machine certificate of a node that hosts the VO services."""


class Standing(enum.StrEnum):
    """What a caller is, as seen from a VO and a user in it. The text completes "Allowed: …"."""

    CORE = "the core machine's own certificate"
    MACHINE = "any machine of the grid"
    CREATOR = "a VOCreator"
    MANAGER = "a VOManager of the VO"
    ADMIN = "a VOAdmin of the VO"
    RESOURCE_ADMIN = "a ResourceAdmin of the VO"
    MEMBER = "any member of the VO"
    SELF = "the user"
    USER = "any user"


class Act(enum.StrEnum):
    """What can be allowed. The text completes "… may not …"."""

    CREATE_VO = "create VOs"
    SEE_VO = "see this VO"
    CHANGE_VO = "change this VO"
    DISSOLVE_VO = "dissolve this VO"
    SEE_ARCHIVES = "see the archives of dissolved VOs"
    ADD_USER = "add users to this VO"
    CHANGE_USER = "change users of this VO"
    REMOVE_USER = "remove users from this VO"
    APPOINT = "give or take the role VOManager, or act on a user who has it"
    APPOINT_CREATOR = "give or take the role VOCreator, or act on a user who has it"
    LIST_USERS = "list the users of this VO"
    SEE_USER = "see this user"
    LIST_GROUPS = "list the groups and roles of this VO"
    CHANGE_GROUPS = "change the groups and roles of this VO"
    DECIDE_REQUESTS = "see and decide requests for membership of this VO"
    INVITE = "invite users of this VO to choose a password"
    SET_STATE = "suspend or resume users of this VO"
    SET_PASSWORD = "change this user's password"  # noqa: S105
    RESET_PASSWORD = "set this user's password without the present one"  # noqa: S105
    RESET_PERSON = "decide how a user logs in who is in other VOs too"
    LINK_IDENTITY = "link this user to identities elsewhere"
    RENEW_USER = "renew this user's certificate"
    CREATE_TOKEN = "make join tokens for machines that serve every VO"  # noqa: S105
    CREATE_VO_TOKEN = "make join tokens for resources of this VO"  # noqa: S105
    RENEW_MACHINE = "renew a machine certificate"
    SEE_POLICIES = "see the policies of this VO"
    CHANGE_POLICIES = "change or try the policies of this VO"
    EXPLAIN = "ask what this user may do"
    SEE_USAGE = "see what this user has used"
    FETCH_USAGE = "have usage records fetched from nodes"
    SET_QUOTA = "set quotas of this VO"
    SEE_TRAIL = "see the audit trail of this VO"
    SEE_ALL_TRAILS = "see the audit trail of all VOs"
    SEE_CHAIN = "see the chains of records themselves"
    CERTIFY = "certify the head of a chain"
    LIST_RESOURCES = "list the resources of this VO"
    SEE_MACHINE = "see a machine"
    LIST_MACHINES = "list the machines of the grid, or see one that serves other VOs"
    RULE_MACHINES = "approve, withdraw and describe machines of the grid"
    ADD_RESOURCE = "add machines of the grid to this VO"
    REMOVE_RESOURCE = "take resources out of this VO"


_RULERS = frozenset({Standing.CORE, Standing.MANAGER})
_ADMINS = frozenset({Standing.CORE, Standing.MANAGER, Standing.ADMIN})
_CORE = frozenset({Standing.CORE})

ALLOWED: Mapping[Act, frozenset[Standing]] = MappingProxyType(
    {
        Act.CREATE_VO: frozenset({Standing.CORE, Standing.CREATOR}),
        Act.SEE_VO: frozenset({Standing.MACHINE, Standing.MEMBER}),
        Act.CHANGE_VO: _RULERS,
        Act.DISSOLVE_VO: _RULERS,
        Act.SEE_ARCHIVES: _CORE,
        Act.ADD_USER: _ADMINS,
        Act.CHANGE_USER: _ADMINS,
        Act.REMOVE_USER: _ADMINS,
        Act.APPOINT: _RULERS,
        Act.APPOINT_CREATOR: _CORE,
        Act.LIST_USERS: _ADMINS,
        Act.SEE_USER: _ADMINS | {Standing.SELF},
        Act.LIST_GROUPS: frozenset({Standing.CORE, Standing.MEMBER}),
        Act.CHANGE_GROUPS: _ADMINS,
        Act.DECIDE_REQUESTS: _ADMINS,
        Act.INVITE: _ADMINS,
        Act.SET_STATE: _ADMINS,
        Act.SET_PASSWORD: _ADMINS | {Standing.SELF},
        # A stolen certificate is good for hours: it must not become a password that is good for years.
        Act.RESET_PASSWORD: _ADMINS,
        # Else an administrator of one VO could become anybody in another.
        Act.RESET_PERSON: _CORE,
        Act.LINK_IDENTITY: _ADMINS,
        Act.RENEW_USER: frozenset({Standing.SELF}),
        # Such a machine is heard in every VO, so no single VO's administrator may let one in.
        Act.CREATE_TOKEN: _CORE,
        Act.CREATE_VO_TOKEN: _RULERS | {Standing.RESOURCE_ADMIN},
        Act.RENEW_MACHINE: frozenset({Standing.MACHINE}),
        Act.SEE_POLICIES: frozenset({Standing.CORE, Standing.MEMBER}),
        Act.CHANGE_POLICIES: _ADMINS,
        Act.EXPLAIN: _ADMINS | {Standing.SELF},
        Act.SEE_USAGE: _ADMINS | {Standing.SELF},
        # Records of a node are of every VO that it serves.
        Act.FETCH_USAGE: _CORE,
        Act.SET_QUOTA: _ADMINS,
        Act.SEE_TRAIL: _ADMINS,
        # A chain runs through all VOs: digests alone tell nothing of others, entries would.
        Act.SEE_ALL_TRAILS: _CORE,
        Act.SEE_CHAIN: _CORE,
        Act.CERTIFY: _ADMINS,
        Act.LIST_RESOURCES: frozenset({Standing.MACHINE, Standing.MEMBER}),
        Act.SEE_MACHINE: frozenset({Standing.MACHINE, Standing.USER}),
        Act.LIST_MACHINES: frozenset({Standing.MACHINE}),
        Act.RULE_MACHINES: _CORE,
        # Whoever owns the machine must agree; only the core can know.
        Act.ADD_RESOURCE: _CORE,
        Act.REMOVE_RESOURCE: _RULERS | {Standing.RESOURCE_ADMIN},
    }
)

_BY_ROLE: Mapping[str, Standing] = MappingProxyType(
    {MANAGER_ROLE: Standing.MANAGER, ADMIN_ROLE: Standing.ADMIN, RESOURCE_ROLE: Standing.RESOURCE_ADMIN}
)
_GUARDED: Mapping[str, Act] = MappingProxyType({MANAGER_ROLE: Act.APPOINT, CREATOR_ROLE: Act.APPOINT_CREATOR})


def standings(caller: Identity, vo: str = "", user: str = "") -> frozenset[Standing]:
    """Everything that *caller* is towards *vo* and its member *user*; an anonymous caller is nothing."""
    found = set()
    if caller.kind is Kind.MACHINE:
        # A machine of certain VOs is nothing towards others.
        if not caller.vos or not vo or vo in caller.vos:
            found.add(Standing.MACHINE)
        if CORE_ROLE in caller.roles:
            found.add(Standing.CORE)
    elif caller.kind is Kind.USER:
        found.add(Standing.USER)
        if CREATOR_ROLE in caller.roles:
            found.add(Standing.CREATOR)
        # Roles and the user's name belong to the certificate's primary VO alone.
        if vo and caller.vo == vo:
            found.add(Standing.MEMBER)
            found |= {standing for role, standing in _BY_ROLE.items() if role in caller.roles}
            if user and caller.name == user:
                found.add(Standing.SELF)
        elif vo and vo in caller.vos:
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


def require_over(roles: Iterable[str], caller: Identity, vo: str) -> None:
    """Raise `Forbidden` unless *caller* may give or take these *roles*, or act on a user of *vo* who has them.

    An administrator who could reset the manager's password would be the manager.
    """
    for role in roles:
        if role in _GUARDED:
            require(_GUARDED[role], caller, vo)
