# SPDX-License-Identifier: BSD-3-Clause
"""The information point: what VOPS itself knows of users, machines and usage, whatever it is told."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from xos.common.identity import Identity, Kind
from xos.common.policy import JobContext, Time
from xos.vom import members
from xos.vom.api import By, User, UserState
from xos.vom.core import VomCore
from xos.vom.errors import Suspended, UnknownUser


async def user_now(core: VomCore, shown: Identity) -> Identity:
    """The holder of a certificate as the VO knows them now: no group or role that they do not have any more.

    Raises `UnknownUser`, `Suspended`.
    """
    member = await core.store.read(lambda c: members.find_member(c, shown.vo, shown.name))
    if member is None:
        raise UnknownUser(vo=shown.vo, user=shown.name)
    user = member.user
    if user.state is not UserState.ACTIVE:
        raise Suspended(user=user.name, vo=user.vo)
    known = {user.group, *user.groups}
    return msgspec.structs.replace(
        shown,
        group=shown.group if shown.group in known else user.group,
        groups=tuple(group for group in shown.groups if group in known),
        roles=tuple(role for role in shown.roles if role in user.roles),
    )


async def member_as(core: VomCore, vo: str, name: str) -> Identity:
    """A member with all groups and roles, as if they showed a certificate. Raises `UnknownUser`, `Suspended`."""
    member = await core.store.read(lambda c: members.find_member(c, vo, name))
    if member is None:
        raise UnknownUser(vo=vo, user=name)
    user = member.user
    if user.state is not UserState.ACTIVE:
        raise Suspended(user=name, vo=vo)
    return _holder(user)


def _holder(user: User) -> Identity:
    return Identity(Kind.USER, user.name, vo=user.vo, group=user.group, groups=user.groups, roles=user.roles)


def administrators(connection: sa.Connection, vo: str, role: str, limit: int = 100) -> list[Identity]:
    """Active members who have *role*, a hundred at most."""
    found: list[Identity] = []
    after = ""
    while len(found) < limit and (page := members.list_members(connection, vo, after, 1000)):
        found += [_holder(user) for user in page if user.state is UserState.ACTIVE and role in user.roles]
        after = page[-1].name
    return found[:limit]


def job_now(core: VomCore, who: Identity, job: JobContext, now: float) -> JobContext:
    """The job with time and usage of this moment."""
    meter = core.meter
    return msgspec.structs.replace(
        job,
        time=Time.at(now),
        used=meter.used(who.vo, By.USER, who.name, now),
        used_by_group=meter.used(who.vo, By.GROUP, who.group, now),
        used_by_vo=meter.used(who.vo, By.VO, who.vo, now),
        quota_exceeded=meter.exceeded(who.vo, who.name, who.group, now),
    )
