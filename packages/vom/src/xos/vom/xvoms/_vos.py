# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: the life of a VO, from creation to dissolution."""

from __future__ import annotations

import sqlalchemy as sa

from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.vom import accounts, archive, managers, members, vos
from xos.vom.api import VO, Archive, User, UserState, VOChange
from xos.vom.callers import authorise, caller_member
from xos.vom.errors import BadRequest, UnknownArchive, UnknownVO, VODissolved, VOExists
from xos.vom.fields import MOST_LABELS, MOST_LISTED, changed, check_line, check_version, told
from xos.vom.managers import Manager
from xos.vom.members import Member
from xos.vom.names import check_labels, check_name
from xos.vom.policy import ADMIN_ROLE, MANAGER_ROLE, Act, allows
from xos.vom.records.trail import Note, acting
from xos.vom.sharing import to_the_end
from xos.vom.vos import NewVO
from xos.vom.xvoms._base import Part

FIRST_GROUP = "users"

log = get_logger(__name__)


class VOs(Part):
    """VOs as such."""

    async def create_vo(self, name: str, description: str = "") -> VO:
        """See `XVOMS.create_vo`. Raises `VOExists`, `VODissolved`, `BadName`, `BadRequest`, `Forbidden`."""
        caller = await authorise(self.core, Act.CREATE_VO)
        check_name("VO", name)
        check_line("description", description)
        founder = await caller_member(self.core, Act.CREATE_VO) if caller.kind is Kind.USER else None
        now = self.core.now()
        certificate, key = await managers.make(self.core, name)
        new = NewVO(name, description, now, str(caller), certificate, key)
        noted = acting(now, "vo-created", vo=name, description=description)
        vo = await self.core.store.write(lambda connection: _create(connection, new, founder, noted))
        if vo is None:
            raise VODissolved(vo=name)
        if (vo.description, vo.creator) != (description, str(caller)):
            raise VOExists(vo=name)
        log.info("vo-created", vo=name, by=str(caller))
        return vo

    async def list_vos(self) -> list[VO]:
        """See `XVOMS.list_vos`."""
        caller = current_call().caller
        own = None if caller.kind is Kind.MACHINE else (caller.vo, *caller.vos)
        found = await self.core.store.read(lambda connection: vos.list_vos(connection, own))
        return [vo for vo in found if allows(Act.SEE_VO, caller, vo.name)]

    async def vo_info(self, name: str) -> VO:
        """See `XVOMS.vo_info`. Raises `UnknownVO`, `BadName`, `Forbidden`."""
        await authorise(self.core, Act.SEE_VO, name)
        return await self._vo(name)

    async def change_vo(self, name: str, change: VOChange, version: int = 0) -> VO:
        """See `XVOMS.change_vo`. Raises `ChangedMeanwhile`, `UnknownVO`, `BadName`, `BadRequest`, `Forbidden`."""
        caller = await authorise(self.core, Act.CHANGE_VO, name)
        if change.description is not None:
            check_line("description", change.description)
        for what in ("attributes", "capabilities"):
            check_labels(what, getattr(change, what) or (), most=MOST_LABELS)

        noted = acting(self.core.now(), "vo-changed", vo=name, change=told(change))

        def write(connection: sa.Connection) -> VO:
            vo = vos.find_vo(connection, name)
            if vo is None:
                raise UnknownVO(vo=name)
            check_version(f"VO {name}", version, vo.version)
            wanted = changed(vo, change)
            if wanted != vo:
                vos.update_vo(connection, wanted)
                noted(connection)
            return vos.find_vo(connection, name) or wanted

        vo = await self.core.store.write(write)
        log.info("vo-changed", vo=name, version=vo.version, by=str(caller))
        return vo

    async def dissolve_vo(self, name: str) -> Archive:
        """See `XVOMS.dissolve_vo`. When it returns, the CRL in force names every certificate that names the VO.

        Raises `UnknownVO`, `BadName`, `Forbidden`.
        """
        check_name("VO", name)
        done = await self.core.store.read(lambda connection: vos.was_dissolved(connection, name))
        caller = await authorise(self.core, Act.SEE_ARCHIVES if done else Act.DISSOLVE_VO, name)
        if done:
            await self.core.publish_crl()  # the first call's may be lost with the daemon
            return await self._archive(name)
        manager = await managers.of(self.core, name)
        return await to_the_end(
            self.host,
            self._dissolve(name, manager, caller, acting(self.core.now(), "vo-dissolved", vo=name)),
            name="dissolve",
        )

    async def _dissolve(self, name: str, manager: Manager, caller: Identity, noted: Note) -> Archive:
        now = self.core.now()

        def write(connection: sa.Connection) -> Archive:
            vo = vos.find_vo(connection, name)
            if vo is None:
                raise UnknownVO(vo=name)
            noted(connection)
            return archive.dissolve(connection, vo, manager, now, str(caller))

        made = await self.core.store.write(write)
        await self.core.publish_crl()
        log.info("vo-dissolved", vo=name, archive=made.sha256, by=str(caller))
        return made

    async def list_archives(self) -> list[Archive]:
        """See `XVOMS.list_archives`. Raises `Forbidden`."""
        await authorise(self.core, Act.SEE_ARCHIVES)
        return await self.core.store.read(archive.list_archives)

    async def dissolved(self, vos: tuple[str, ...]) -> list[str]:
        """See `XVOMS.dissolved`. Raises `BadRequest`."""
        if len(vos) > MOST_LISTED:
            raise BadRequest(what="vos", detail=f"at most {MOST_LISTED}")
        return await self.core.store.read(lambda connection: archive.among(connection, vos))

    async def archive(self, vo: str) -> bytes:
        """See `XVOMS.archive`. Raises `UnknownArchive`, `BadName`, `Forbidden`."""
        await authorise(self.core, Act.SEE_ARCHIVES, vo)
        found = await self.core.store.read(lambda connection: archive.find(connection, vo))
        if found is None:
            raise UnknownArchive(vo=vo)
        return found

    async def _archive(self, vo: str) -> Archive:
        found = await self.core.store.read(archive.list_archives)
        return next(one for one in found if one.vo == vo)


def _create(connection: sa.Connection, new: NewVO, founder: Member | None, noted: Note) -> VO | None:
    """The VO, with the user who made it as its manager and administrator; None: the name was another's once."""
    if vos.was_dissolved(connection, new.name):
        return None
    if vos.find_vo(connection, new.name) is None:
        vos.insert_vo(connection, new)
        noted(connection)
    vo = vos.find_vo(connection, new.name)
    if founder is not None and vo is not None and vo.creator == new.creator:
        who = founder.user
        first = User(
            new.name,
            who.name,
            FIRST_GROUP,
            roles=tuple(sorted((ADMIN_ROLE, MANAGER_ROLE))),
            state=UserState.ACTIVE,
            created=new.created,
            full_name=who.full_name,
            email=who.email,
        )
        if accounts.name_in(connection, new.name, founder.account) is None:
            members.insert_member(connection, first, "", founder.account)
    return vos.find_vo(connection, new.name)
