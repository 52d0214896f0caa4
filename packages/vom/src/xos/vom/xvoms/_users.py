# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the members of a VO."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.vom import accounts, ledger, members, vos
from xos.vom.api import User, UserChange, UserState
from xos.vom.callers import authorise, authorise_over, caller_member, may_decide_person
from xos.vom.errors import BadCredentials, LastManager, UnknownUser, UnknownVO, UserExists
from xos.vom.fields import (
    LONGEST_EMAIL,
    MOST_LISTED,
    changed,
    check_limit,
    check_line,
    check_supported,
    check_version,
    checked_change,
    difference,
    loses,
    new_user,
    normal,
    told,
)
from xos.vom.members import Filter, Member
from xos.vom.names import check_label, check_name
from xos.vom.passwords import check_new_password
from xos.vom.policy import MANAGER_ROLE, Act, allows, require_over
from xos.vom.records.trail import acting
from xos.vom.sharing import to_the_end
from xos.vom.xvoms._base import Part

log = get_logger(__name__)


class Users(Part):
    """Members."""

    async def add_user(
        self,
        vo: str,
        name: str,
        password: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
    ) -> User:
        """See `XVOMS.add_user`. Raises `UserExists` when anything differs, `UnknownVO`, `BadName`, `WeakPassword`."""
        caller = await authorise(self.core, Act.ADD_USER, vo)
        require_over(roles, caller, vo)
        user = new_user(vo, name, group, groups, roles, self.core.now())
        check_new_password(password, name)
        kept = await self.core.passwords.hash(password)
        noted = acting(self.core.now(), "user-added", vo=vo, target=name, group=group, roles=",".join(user.roles))

        def write(connection: sa.Connection) -> Member | None:
            if members.find_member(connection, vo, name) is None and members.insert_member(connection, user, kept):
                noted(connection)
            return members.find_member(connection, vo, name)

        member = await self.core.store.write(write)
        if member is None:
            raise UnknownVO(vo=vo)
        if member.password != kept:
            await self._check_same(user, member, password)
            return member.user
        log.info("user-added", vo=vo, user=name, by=str(caller))
        return member.user

    async def _check_same(self, wanted: User, member: Member, password: str) -> None:
        """Pass when the user that is there already is the one wanted: then adding them again is no error."""
        differs = difference(wanted, member.user)
        if not differs and not (member.password and await self.core.passwords.matches(member.password, password)):
            differs = "password"
        if differs:
            raise UserExists(vo=wanted.vo, user=wanted.name, differs=differs)

    async def list_users(
        self, vo: str, after: str = "", limit: int = MOST_LISTED, search: str = "", group: str = "", role: str = ""
    ) -> list[User]:
        """See `XVOMS.list_users`. Raises `UnknownVO`, `BadRequest`, `Forbidden`."""
        await authorise(self.core, Act.LIST_USERS, vo)
        if after:
            check_name("user", after)
        wanted = Filter(check_line("search", search, LONGEST_EMAIL), group, role)
        for what, label in (("group", group), ("role", role)):
            if label:
                check_label(what, label)
        most = check_limit(limit)

        def read(connection: sa.Connection) -> list[User] | None:
            if vos.vo_id(connection, vo) is None:
                return None
            return members.list_members(connection, vo, after, most, wanted)

        users = await self.core.store.read(read)
        if users is None:
            raise UnknownVO(vo=vo)
        return users

    async def user_info(self, vo: str, name: str) -> User:
        """See `XVOMS.user_info`. Raises `UnknownUser`, `Forbidden`."""
        await authorise(self.core, Act.SEE_USER, vo, name)
        return (await self._member(vo, name)).user

    async def memberships(self) -> list[User]:
        """See `XVOMS.memberships`. Raises `Forbidden`."""
        member = await caller_member(self.core, Act.SEE_USER)
        return await self.core.store.read(lambda connection: members.memberships(connection, member.account))

    async def change_user(self, vo: str, name: str, change: UserChange, version: int = 0) -> User:
        """See `XVOMS.change_user`.

        Raises `ChangedMeanwhile`, `UnsupportedByVO`, `LastManager`, `UnknownUser`, `BadName`, `BadRequest`,
        `Forbidden`.
        """
        caller, member = await authorise_over(self.core, Act.CHANGE_USER, vo, name)
        change = checked_change(change)
        if change.roles is not None:
            require_over(set(change.roles) ^ set(member.user.roles), caller, vo)
        now = int(self.core.now())
        noted = acting(now, "user-changed", vo=vo, target=name, change=told(change))

        def write(connection: sa.Connection) -> tuple[User, int, bool]:
            member, home = members.find_member(connection, vo, name), vos.find_vo(connection, vo)
            if member is None or home is None:
                raise UnknownUser(vo=vo, user=name)
            there = member.user
            check_version(f"user {name}@{vo}", version, there.version)
            wanted = normal(changed(there, change))
            check_supported(wanted, there, home)
            if MANAGER_ROLE in there.roles and MANAGER_ROLE not in wanted.roles:
                check_other_manager(connection, member)
            if wanted == there:
                return there, 0, False
            members.update_member(connection, member, wanted)
            noted(connection)
            narrower = loses(there, wanted)
            taken = ledger.revoke_user(connection, member.id, now) if narrower else 0
            after = members.find_member(connection, vo, name)
            return wanted if after is None else after.user, taken, narrower

        work = self._write_and_publish(write, "user-changed", vo, name, str(caller))
        return await to_the_end(self.host, work, name="user-change")

    async def _write_and_publish(
        self, write: Callable[[sa.Connection], tuple[User, int, bool]], event: str, vo: str, name: str, by: str
    ) -> User:
        user, taken, publish = await self.core.store.write(write)
        log.info(event, vo=vo, user=name, revoked=taken, by=by)
        if publish:
            # Also when nothing was revoked now: the call may be a repetition, its first CRL lost with the daemon.
            await self.core.publish_crl()
        return user

    async def remove_user(self, vo: str, name: str) -> None:
        """See `XVOMS.remove_user`. Raises `LastManager`, `Forbidden`, `BadName`."""
        try:
            caller, _ = await authorise_over(self.core, Act.REMOVE_USER, vo, name)
        except UnknownUser:
            return  # a repetition
        now = int(self.core.now())
        noted = acting(now, "user-removed", vo=vo, target=name)

        def write(connection: sa.Connection) -> tuple[User, int, bool]:
            member = members.find_member(connection, vo, name)
            if member is None:
                return User(vo, name), 0, True
            if MANAGER_ROLE in member.user.roles:
                check_other_manager(connection, member)
            taken = ledger.revoke_user(connection, member.id, now)
            members.delete_members(connection, [member.id])
            noted(connection)
            return member.user, taken, True

        await to_the_end(
            self.host, self._write_and_publish(write, "user-removed", vo, name, str(caller)), name="remove-user"
        )

    async def set_user_state(self, vo: str, name: str, state: UserState) -> User:
        """See `XVOMS.set_user_state`. When it returns, the CRL in force names every certificate of a suspended user.

        Raises `LastManager`, `UnknownUser`, `Forbidden`, `BadName`.
        """
        caller, _ = await authorise_over(self.core, Act.SET_STATE, vo, name)
        now = int(self.core.now())
        suspended = state is UserState.SUSPENDED
        noted = acting(now, f"user-{state.value}", vo=vo, target=name)

        def write(connection: sa.Connection) -> tuple[User, int, bool]:
            member = members.find_member(connection, vo, name)
            if member is None:
                raise UnknownUser(vo=vo, user=name)
            if suspended and MANAGER_ROLE in member.user.roles:
                check_other_manager(connection, member)
            if member.user.state is not state:
                members.update_state(connection, member.id, state)
                noted(connection)
            taken = ledger.revoke_user(connection, member.id, now) if suspended else 0
            after = members.find_member(connection, vo, name) or member
            return after.user, taken, suspended

        return await to_the_end(
            self.host, self._write_and_publish(write, f"user-{state.value}", vo, name, str(caller)), name="user-state"
        )

    async def set_password(self, vo: str, name: str, password: str, current: str | None = None) -> None:
        """See `XVOMS.set_password`. Raises `BadCredentials`, `TooManyAttempts`, `WeakPassword`, `UnknownUser`."""
        caller, member = await authorise_over(self.core, Act.SET_PASSWORD, vo, name)
        check_new_password(password, name)
        if allows(Act.RESET_PASSWORD, caller, vo, name):
            if (caller.vo, caller.name) != (vo, name):
                alone = await self.core.store.read(lambda c: accounts.is_in_one_vo(c, member.account))
                may_decide_person(caller, alone=alone, vo=vo, user=name)
        else:
            try:
                await self.core.gate.admit(
                    vo=vo, user=name, address=current_call().address, kept=member.password, password=current or ""
                )
            except BadCredentials:
                # A repetition of the call that changed it: then the new one is the current one already.
                if member.password and await self.core.passwords.matches(member.password, password):
                    return
                raise
        kept = await self.core.passwords.hash(password)
        noted = acting(self.core.now(), "password-set", vo=vo, target=name)

        def write(connection: sa.Connection) -> None:
            accounts.update_password(connection, member.account, kept)
            noted(connection)

        await self.core.store.write(write)
        log.info("password-set", vo=vo, user=name, by=str(caller))


def check_other_manager(connection: sa.Connection, member: Member) -> None:
    """Raise `LastManager` unless the VO has another active manager, or was the core's from the beginning."""
    vo = member.user.vo
    home = vos.find_vo(connection, vo)
    if home is not None and "@" not in home.creator:
        return
    others = members.list_members(connection, vo, "", MOST_LISTED, Filter(role=MANAGER_ROLE))
    if not any(user.name != member.user.name and user.state is UserState.ACTIVE for user in others):
        raise LastManager(user=member.user.name, vo=vo)
