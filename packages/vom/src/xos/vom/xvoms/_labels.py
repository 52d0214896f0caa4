# SPDX-License-Identifier: BSD-3-Clause
"""XVOMS: groups and roles, and by what else than a password members prove who they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from xos.common.log import get_logger
from xos.vom import accounts, labels, vos
from xos.vom.api import Group, LinkedIdentity, Role
from xos.vom.callers import authorise, authorise_over, may_decide_person
from xos.vom.errors import IdentityTaken, InUse, UnknownVO
from xos.vom.fields import check_line
from xos.vom.labels import Kind, Removal
from xos.vom.names import check_label, check_name
from xos.vom.policy import Act
from xos.vom.records.trail import acting
from xos.vom.xvoms._base import Part

LONGEST_SUBJECT = 255
T = TypeVar("T")

log = get_logger(__name__)


class Labels(Part):
    """Groups, roles, linked identities."""

    async def list_groups(self, vo: str) -> list[Group]:
        """See `XVOMS.list_groups`. Raises `UnknownVO`, `Forbidden`."""
        await authorise(self.core, Act.LIST_GROUPS, vo)
        return await self._listed(vo, labels.list_groups)

    async def list_roles(self, vo: str) -> list[Role]:
        """See `XVOMS.list_roles`. Raises `UnknownVO`, `Forbidden`."""
        await authorise(self.core, Act.LIST_GROUPS, vo)
        return await self._listed(vo, labels.list_roles)

    async def _listed(self, vo: str, query: Callable[[sa.Connection, str], list[T]]) -> list[T]:
        def read(connection: sa.Connection) -> list[T] | None:
            return None if vos.vo_id(connection, vo) is None else query(connection, vo)

        found = await self.core.store.read(read)
        if found is None:
            raise UnknownVO(vo=vo)
        return found

    async def add_group(self, vo: str, name: str, description: str = "") -> Group:
        """See `XVOMS.add_group`. Raises `UnknownVO`, `BadName`, `BadRequest`, `Forbidden`."""
        await self._describe(labels.GROUP, "group", vo, name, description)
        return next(one for one in await self._listed(vo, labels.list_groups) if one.name == name)

    async def add_role(self, vo: str, name: str, description: str = "") -> Role:
        """See `XVOMS.add_role`. Raises `UnknownVO`, `BadName`, `BadRequest`, `Forbidden`."""
        await self._describe(labels.ROLE, "role", vo, name, description)
        return next(one for one in await self._listed(vo, labels.list_roles) if one.name == name)

    async def _describe(self, kind: Kind, what: str, vo: str, name: str, description: str) -> None:
        caller = await authorise(self.core, Act.CHANGE_GROUPS, vo)
        check_label(what, name)
        check_line("description", description)
        noted = acting(self.core.now(), f"{what}-added", vo=vo, target=name, description=description)

        def write(connection: sa.Connection) -> None:
            labels.describe(connection, kind, _number(connection, vo), name, description)
            noted(connection)

        await self.core.store.write(write)
        log.info("label-added", what=what, vo=vo, name=name, by=str(caller))

    async def remove_group(self, vo: str, name: str) -> None:
        """See `XVOMS.remove_group`. Raises `InUse`, `UnknownVO`, `BadName`, `Forbidden`."""
        await self._remove(labels.GROUP, "group", vo, name)

    async def remove_role(self, vo: str, name: str) -> None:
        """See `XVOMS.remove_role`. Raises `InUse`, `UnknownVO`, `BadName`, `Forbidden`."""
        await self._remove(labels.ROLE, "role", vo, name)

    async def _remove(self, kind: Kind, what: str, vo: str, name: str) -> None:
        caller = await authorise(self.core, Act.CHANGE_GROUPS, vo)
        check_label(what, name)

        noted = acting(self.core.now(), f"{what}-removed", vo=vo, target=name)

        def write(connection: sa.Connection) -> Removal:
            outcome = labels.remove(connection, kind, _number(connection, vo), name)
            if outcome is Removal.DONE:
                noted(connection)
            return outcome

        outcome = await self.core.store.write(write)
        if outcome is not Removal.DONE:
            detail = "has members" if outcome is Removal.HAS_MEMBERS else "has parts"
            raise InUse(what=what, name=name, vo=vo, detail=detail)
        log.info("label-removed", what=what, vo=vo, name=name, by=str(caller))

    async def link_identity(self, vo: str, name: str, backend: str, subject: str) -> None:
        """See `XVOMS.link_identity`. Raises `IdentityTaken`, `UnknownUser`, `BadName`, `BadRequest`, `Forbidden`."""
        account, identity, by = await self._decides(vo, name, backend, subject)
        noted = acting(self.core.now(), "identity-linked", vo=vo, target=name, backend=backend, subject=subject)

        def write(connection: sa.Connection) -> bool:
            linked = accounts.link(connection, account, identity)
            if linked:
                noted(connection)
            return linked

        if not await self.core.store.write(write):
            raise IdentityTaken(backend=backend, subject=subject)
        log.info("identity-linked", vo=vo, user=name, backend=backend, subject=subject, by=by)

    async def unlink_identity(self, vo: str, name: str, backend: str, subject: str) -> None:
        """See `XVOMS.unlink_identity`. Raises `UnknownUser`, `BadName`, `BadRequest`, `Forbidden`."""
        account, identity, by = await self._decides(vo, name, backend, subject)
        noted = acting(self.core.now(), "identity-unlinked", vo=vo, target=name, backend=backend, subject=subject)

        def write(connection: sa.Connection) -> None:
            accounts.unlink(connection, account, identity)
            noted(connection)

        await self.core.store.write(write)
        log.info("identity-unlinked", vo=vo, user=name, backend=backend, subject=subject, by=by)

    async def _decides(self, vo: str, name: str, backend: str, subject: str) -> tuple[int, LinkedIdentity, str]:
        caller, member = await authorise_over(self.core, Act.LINK_IDENTITY, vo, name)
        check_name("backend", backend)
        check_line("subject", subject, LONGEST_SUBJECT)
        alone = await self.core.store.read(lambda connection: accounts.is_in_one_vo(connection, member.account))
        may_decide_person(caller, alone=alone, vo=vo, user=name)
        return member.account, LinkedIdentity(backend, subject), str(caller)

    async def list_identities(self, vo: str, name: str) -> list[LinkedIdentity]:
        """See `XVOMS.list_identities`. Raises `UnknownUser`, `BadName`, `Forbidden`."""
        await authorise(self.core, Act.SEE_USER, vo, name)
        member = await self._member(vo, name)
        return await self.core.store.read(lambda c: accounts.list_identities(c, member.account))


def _number(connection: sa.Connection, vo: str) -> int:
    number = vos.vo_id(connection, vo)
    if number is None:
        raise UnknownVO(vo=vo)
    return number
