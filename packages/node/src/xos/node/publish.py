# SPDX-License-Identifier: BSD-3-Clause
"""Keeps the table of libnss_xos in step with the accounts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.node.accounts import Accounts
from xos.node.service import home_of, shell_of
from xos.node.table import Builder, Group, Table, User

log = get_logger("xos.node.publish")

LOOK_SECONDS = 0.05
CHECK_SECONDS = 2.0
"""How often it is looked whether somebody has removed the file."""
SHARE = 20
"""At most one part in so many of the time goes into making tables; meanwhile the daemon itself answers for new ones."""


class Publisher:
    """Writes the file whenever what it should say has changed."""

    def __init__(self, accounts: Accounts, path: Path) -> None:
        self._accounts = accounts
        self._table, self._builder = Table(path), Builder()
        self._written = -1

    async def run(self) -> None:
        """Until cancelled."""
        checked = 0.0
        while True:
            now = time.monotonic()
            if now - checked >= CHECK_SECONDS:
                checked = now
                if not self._table.is_there():
                    self._written = -1
            spent = 0.0
            if self._accounts.generation != self._written:
                spent = await self.publish()
            await asyncio.sleep(max(LOOK_SECONDS, SHARE * spent))

    async def publish(self) -> float:
        """Write it now; the seconds that it took."""
        began = time.monotonic()
        generation = self._accounts.generation
        config = self._accounts.config
        ranges = [span for vo in config.vos.values() for span in (vo.uids, vo.gids)]
        suffixes = [config.suffix(vo) for vo in config.vos]

        def write() -> int:
            users, groups = self._entries()
            data = self._builder.build(
                users,
                groups,
                ranges=ranges,
                suffixes=suffixes,
                generation=time.time_ns(),
                enumerate_=config.enumerate,
            )
            self._table.replace(data)
            return len(users)

        try:
            users = await asyncio.to_thread(write)  # all of it: look-ups are answered meanwhile
        except (OSError, XosError) as error:
            log.warning("table.not-written", detail=str(error))
            return 1.0  # again in a while; the daemon answers in the meantime
        self._written = generation
        log.debug("table.written", users=users)
        return time.monotonic() - began

    def _entries(self) -> tuple[list[User], list[Group]]:
        accounts, config = self._accounts, self._accounts.config
        users = [
            User(
                each.uid,
                each.name,
                each.own_group,
                home_of(each, config),
                shell_of(each, config),
                tuple(accounts.gids(each)),
            )
            for each in accounts.active()
        ]
        return users, [Group(each.gid, each.name) for each in accounts.groups()]
