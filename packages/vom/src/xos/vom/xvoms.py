# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the database of VOs and their members as a service."""

from __future__ import annotations

import sqlalchemy as sa

from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import ledger, members
from xos.vom.api import VO, XVOMS, Group, User, UserState
from xos.vom.callers import authorise
from xos.vom.core import VomCore
from xos.vom.errors import BadCredentials, BadRequest, UnknownUser, UnknownVO, UserExists, VOExists
from xos.vom.members import Member
from xos.vom.names import check_label, check_labels, check_name
from xos.vom.passwords import check_new_password
from xos.vom.policy import Act, allows
from xos.vom.sharing import VomSettings, release, share, to_the_end

MOST_LISTED = 1000
MOST_LABELS = 100
"""Groups, and roles, of one user: all stand in each of their certificates."""
LONGEST_DESCRIPTION = 1000

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.XVOMS.settings]``."""


class XvomsService(Hosted[Settings], XVOMS):
    """XVOMS over a `VomCore`. Who may do what is in `xos.vom.policy`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    async def create_vo(self, name: str, description: str = "") -> VO:
        """See `XVOMS.create_vo`. Raises `VOExists`, `BadName`, `BadRequest`, `Forbidden`."""
        caller = await self._require(Act.CREATE_VO)
        check_name("VO", name)
        if len(description) > LONGEST_DESCRIPTION or not description.isprintable():
            raise BadRequest(what="description", detail=f"one line of at most {LONGEST_DESCRIPTION} characters")
        now = self.core.now()

        def write(connection: sa.Connection) -> VO | None:
            members.insert_vo(connection, name, description, now)
            return members.find_vo(connection, name)

        vo = await self.core.store.write(write)
        if vo is None or vo.description != description:
            raise VOExists(vo=name)
        log.info("vo-created", vo=name, by=str(caller))
        return vo

    async def list_vos(self) -> list[VO]:
        """See `XVOMS.list_vos`."""
        caller = current_call().caller
        own = None if caller.kind is Kind.MACHINE else (caller.vo, *caller.vos)
        found = await self.core.store.read(lambda connection: members.list_vos(connection, own))
        return [vo for vo in found if allows(Act.SEE_VO, caller, vo.name)]

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
        caller = await self._require(Act.ADD_USER, vo)
        check_label("group", group)
        user = User(
            vo,
            check_name("user", name),
            group,
            tuple(other for other in check_labels("groups", groups, most=MOST_LABELS) if other != group),
            check_labels("roles", roles, most=MOST_LABELS),
            UserState.ACTIVE,
            self.core.now(),
        )
        check_new_password(password, name)
        kept = await self.core.passwords.hash(password)

        def write(connection: sa.Connection) -> Member | None:
            members.insert_member(connection, user, kept)
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
        there = member.user
        differs = ""
        if wanted.group != there.group or set(wanted.groups) != set(there.groups):
            differs = "set of groups"
        elif set(wanted.roles) != set(there.roles):
            differs = "set of roles"
        elif not await self.core.passwords.matches(member.password, password):
            differs = "password"
        if differs:
            raise UserExists(vo=wanted.vo, user=wanted.name, differs=differs)

    async def list_users(self, vo: str, after: str = "", limit: int = MOST_LISTED) -> list[User]:
        """See `XVOMS.list_users`. Raises `UnknownVO`, `BadRequest`, `Forbidden`."""
        await self._require(Act.LIST_USERS, vo)
        if after:
            check_name("user", after)
        if limit < 1:
            raise BadRequest(what="limit", detail="at least 1")
        most = min(limit, MOST_LISTED)

        def read(connection: sa.Connection) -> list[User] | None:
            if members.find_vo(connection, vo) is None:
                return None
            return members.list_members(connection, vo, after, most)

        users = await self.core.store.read(read)
        if users is None:
            raise UnknownVO(vo=vo)
        return users

    async def user_info(self, vo: str, name: str) -> User:
        """See `XVOMS.user_info`. Raises `UnknownUser`, `Forbidden`."""
        await self._require(Act.SEE_USER, vo, name)
        return (await self._member(vo, name)).user

    async def list_groups(self, vo: str) -> list[Group]:
        """See `XVOMS.list_groups`. Raises `UnknownVO`, `Forbidden`."""
        await self._require(Act.LIST_GROUPS, vo)

        def read(connection: sa.Connection) -> list[Group] | None:
            if members.find_vo(connection, vo) is None:
                return None
            return members.list_groups(connection, vo)

        groups = await self.core.store.read(read)
        if groups is None:
            raise UnknownVO(vo=vo)
        return groups

    async def set_user_state(self, vo: str, name: str, state: UserState) -> User:
        """See `XVOMS.set_user_state`. When it returns, the CRL in force names every certificate of a suspended user."""
        caller = await self._require(Act.SET_STATE, vo, name)
        return await to_the_end(self.host, self._set_state(vo, name, state, str(caller)), name="user-state")

    async def _set_state(self, vo: str, name: str, state: UserState, by: str) -> User:
        now = int(self.core.now())

        def write(connection: sa.Connection) -> tuple[Member | None, int]:
            member = members.find_member(connection, vo, name)
            if member is None:
                return None, 0
            members.update_state(connection, member.id, state)
            taken = ledger.revoke_user(connection, member.id, now) if state is UserState.SUSPENDED else 0
            return members.find_member(connection, vo, name), taken

        member, taken = await self.core.store.write(write)
        if member is None:
            raise UnknownUser(vo=vo, user=name)
        log.info("user-state", vo=vo, user=name, state=state.value, revoked=taken, by=by)
        if state is UserState.SUSPENDED:
            # Also when nothing was revoked now: the call may be a repetition, its first CRL lost with the daemon.
            await self.core.publish_crl()
        return member.user

    async def set_password(self, vo: str, name: str, password: str, current: str | None = None) -> None:
        """See `XVOMS.set_password`. Raises `BadCredentials`, `TooManyAttempts`, `WeakPassword`, `UnknownUser`."""
        caller = await self._require(Act.SET_PASSWORD, vo, name)
        check_new_password(password, name)
        member = await self._member(vo, name)
        if not allows(Act.RESET_PASSWORD, caller, vo, name):
            try:
                await self.core.gate.admit(
                    vo=vo, user=name, address=current_call().address, kept=member.password, password=current or ""
                )
            except BadCredentials:
                # A repetition of the call that changed it: then the new one is the current one already.
                if await self.core.passwords.matches(member.password, password):
                    return
                raise
        kept = await self.core.passwords.hash(password)
        await self.core.store.write(lambda connection: members.update_password(connection, member.id, kept))
        log.info("password-set", vo=vo, user=name, by=str(caller))

    async def _member(self, vo: str, name: str) -> Member:
        member = await self.core.store.read(lambda connection: members.find_member(connection, vo, name))
        if member is None:
            raise UnknownUser(vo=vo, user=name)
        return member

    async def _require(self, act: Act, vo: str = "", user: str = "") -> Identity:
        """See `authorise`."""
        return await authorise(self.core, act, vo, user)
