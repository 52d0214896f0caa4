# SPDX-License-Identifier: BSD-3-Clause
"""What the parts of XVOMS share."""

from __future__ import annotations

from xos.dixi.hosting import Hosted
from xos.vom import members, vos
from xos.vom.api import VO
from xos.vom.core import VomCore
from xos.vom.errors import UnknownUser, UnknownVO
from xos.vom.members import Member
from xos.vom.sharing import VomSettings, release, share


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.XVOMS.settings]``."""


class Part(Hosted[Settings]):
    """A part of XVOMS over a `VomCore`. Who may do what is in `xos.vom.policy`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    async def _member(self, vo: str, name: str) -> Member:
        member = await self.core.store.read(lambda connection: members.find_member(connection, vo, name))
        if member is None:
            raise UnknownUser(vo=vo, user=name)
        return member

    async def _vo(self, name: str) -> VO:
        vo = await self.core.store.read(lambda connection: vos.find_vo(connection, name))
        if vo is None:
            raise UnknownVO(vo=name)
        return vo
