# SPDX-License-Identifier: BSD-3-Clause
"""Who calls a service, as they are now: that a certificate says so is not enough."""

from __future__ import annotations

import msgspec

from xos.common.identity import Identity, Kind
from xos.dixi.api import current_call
from xos.vom import members
from xos.vom.core import VomCore
from xos.vom.errors import Forbidden, UnknownUser
from xos.vom.members import Member
from xos.vom.names import check_name
from xos.vom.policy import Act, require, require_over


async def authorise(core: VomCore, act: Act, vo: str = "", user: str = "") -> Identity:
    """The caller as they are now, if they may. Raises `Forbidden`, `BadName`.

    The holder of a certificate must still be active and have the roles that it names.
    """
    if vo:
        check_name("VO", vo)
    if user:
        check_name("user", user)
    caller = current_call().caller
    require(act, caller, vo, user)
    if caller.kind is not Kind.USER:
        return caller
    member = await caller_member(core, act)
    roles = tuple(role for role in caller.roles if role in member.user.roles)
    caller = msgspec.structs.replace(caller, roles=roles)
    require(act, caller, vo, user)
    return caller


async def caller_member(core: VomCore, act: Act) -> Member:
    """The calling user's entry. Raises `Forbidden` unless they are an active member."""
    caller = current_call().caller
    member = await core.store.read(lambda c: members.find_member(c, caller.vo, caller.name))
    if member is None or not member.is_active(core.now()):
        raise Forbidden(caller=str(caller), act=act.value, allowed="active members only")
    return member


async def authorise_over(core: VomCore, act: Act, vo: str, user: str) -> tuple[Identity, Member]:
    """The caller, and the member of *vo* that they may act on. Raises `Forbidden`, `UnknownUser`, `BadName`."""
    caller = await authorise(core, act, vo, user)
    member = await core.store.read(lambda c: members.find_member(c, vo, user))
    if member is None:
        raise UnknownUser(vo=vo, user=user)
    if not (caller.kind is Kind.USER and (caller.vo, caller.name) == (vo, user)):
        require_over(member.user.roles, caller, vo)
    return caller, member


def may_decide_person(caller: Identity, *, alone: bool, vo: str, user: str) -> None:
    """Raise `Forbidden` unless *caller* may decide how the user logs in; *alone*: the person is in this VO only."""
    if not alone:
        require(Act.RESET_PERSON, caller, vo, user)
