# SPDX-License-Identifier: BSD-3-Clause
"""Who calls, and whether they may: as they are now, not as their certificate says."""

from __future__ import annotations

import msgspec

from xos.common.identity import Identity, Kind
from xos.dixi.api import current_call
from xos.vom import members
from xos.vom.api import UserState
from xos.vom.core import VomCore
from xos.vom.errors import Forbidden
from xos.vom.names import check_name
from xos.vom.policy import Act, require


async def authorise(core: VomCore, act: Act, vo: str = "", user: str = "") -> Identity:
    """The caller of the running call as they are now, if they may. Raises `Forbidden`, `BadName`.

    That a certificate says so is not enough: its holder must still be active and have the role that it names.
    """
    if vo:
        check_name("VO", vo)
    if user:
        check_name("user", user)
    caller = current_call().caller
    require(act, caller, vo, user)
    if caller.kind is not Kind.USER:
        return caller
    member = await core.store.read(lambda c: members.find_member(c, caller.vo, caller.name))
    if member is None or member.user.state is not UserState.ACTIVE:
        raise Forbidden(caller=str(caller), act=act.value, allowed="active members only")
    roles = tuple(role for role in caller.roles if role in member.user.roles)
    caller = msgspec.structs.replace(caller, roles=roles)
    require(act, caller, vo, user)
    return caller
