# SPDX-License-Identifier: BSD-3-Clause
"""The information point: what VOPS itself knows of users, machines and usage, whatever it is told."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from xos.common.identity import Identity, Kind
from xos.common.policy import JobContext, NodeAttributes, Time
from xos.vom import members, resources
from xos.vom.api import By, ResourceState, User, UserState
from xos.vom.core import VomCore
from xos.vom.errors import Suspended, UnknownUser
from xos.vom.members import Member
from xos.vom.resources import Machine

MEMORY_SECONDS = 2.0


class Known(msgspec.Struct, frozen=True):
    """A user and the nodes in question, as the VO knows them now."""

    who: Identity
    nodes: tuple[NodeAttributes, ...]
    """What the RCA has certified goes before what was told."""
    closed: dict[str, str]
    """Nodes that are not for this VO, and why."""


class Memory:
    """What the database says of members and machines, a moment old at most: it is asked for at every decision.

    Nobody who was suspended slips through meanwhile: their certificates are revoked at once.
    """

    def __init__(self, core: VomCore) -> None:
        self._core = core
        self._members: dict[tuple[str, str], Member | None] = {}
        self._machines: dict[str, Machine | None] = {}
        self._until = 0.0

    async def get(self, vo: str, name: str, nodes: Collection[str]) -> tuple[Member | None, dict[str, Machine | None]]:
        """A member, and each of *nodes*; None: there is no such member, or machine."""
        if (now := time.monotonic()) >= self._until:
            self._members, self._machines, self._until = {}, {}, now + MEMORY_SECONDS
        members_, machines = self._members, self._machines
        missing = [node for node in nodes if node not in machines]
        if missing or (vo, name) not in members_:

            def read(connection: sa.Connection) -> tuple[Member | None, dict[str, Machine]]:
                found = resources.find_several(connection, missing) if missing else {}
                return members.find_member(connection, vo, name), found

            members_[vo, name], found = await self._core.store.read(read)
            machines.update({node: found.get(node) for node in missing})
        return members_[vo, name], {node: machines[node] for node in nodes}


async def look_up(core: VomCore, memory: Memory, shown: Identity, told: Sequence[NodeAttributes] = ()) -> Known:
    """The holder of a certificate, with no group or role that they do not have any more; and the nodes.

    Raises `UnknownUser`, `Suspended`.
    """
    member, found = await memory.get(shown.vo, shown.name, [node.name for node in told])
    user = _active(core, member, shown.vo, shown.name)
    known = {user.group, *user.groups}
    who = msgspec.structs.replace(
        shown,
        group=shown.group if shown.group in known else user.group,
        groups=tuple(group for group in shown.groups if group in known),
        roles=tuple(role for role in shown.roles if role in user.roles),
    )
    closed = {node: why for node, machine in found.items() if (why := _closed(machine, shown.vo))}
    return Known(who, tuple(_certified(node, found[node.name]) for node in told), closed)


async def member_as(core: VomCore, vo: str, name: str) -> Identity:
    """A member with all groups and roles, as if they showed a certificate. Raises `UnknownUser`, `Suspended`."""
    member = await core.store.read(lambda c: members.find_member(c, vo, name))
    return _holder(_active(core, member, vo, name))


def _active(core: VomCore, member: Member | None, vo: str, name: str) -> User:
    if member is None:
        raise UnknownUser(vo=vo, user=name)
    if not member.is_active(core.now()):
        raise Suspended(user=name, vo=vo)
    return member.user


def _closed(machine: Machine | None, vo: str) -> str:
    """Why a machine is not for *vo*; empty: it is."""
    if machine is None:
        return ""  # it has no certificate, so nothing can run there
    if machine.resource.state is not ResourceState.ACTIVE:
        return f"denied: {machine.node} is {machine.resource.state.value}"
    if machine.scoped and vo not in machine.resource.vos:
        return f"denied: {machine.node} is no resource of VO {vo}"
    return ""


def _certified(told: NodeAttributes, machine: Machine | None) -> NodeAttributes:
    if machine is None:
        return told
    sure = machine.resource.attributes
    return msgspec.structs.replace(
        told,
        architecture=sure.architecture or told.architecture,
        site=sure.site,
        flavour=sure.flavour,
        cores=sure.cores or told.cores,
        memory=sure.memory or told.memory,
    )


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
