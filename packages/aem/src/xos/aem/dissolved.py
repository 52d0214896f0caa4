# SPDX-License-Identifier: BSD-3-Clause
"""The end of a VO, as those hear of it who still have something of it: jobs, units, accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Bus
from xos.vom.xati import XVOMSAsync

ANSWER_SECONDS = 10.0
MOST = 1000
"""VOs asked about at once."""

log = get_logger("xos.aem.dissolved")


class Watch:
    """Asks XVOMS every *seconds* which of the VOs in *vos* are dissolved, and has each closed.

    A VO is closed again and again while *vos* names it, so that what failed is done later.
    """

    def __init__(
        self,
        bus: Bus,
        vos: Callable[[], Awaitable[Collection[str]]],
        close: Callable[[str], Awaitable[None]],
        seconds: float,
    ) -> None:
        self._bus, self._vos, self._close, self._seconds = bus, vos, close, seconds
        self._problem = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.look()
            except XosError as error:
                if error.code != self._problem:
                    log.warning("dissolved.unknown", code=error.code, reason=error.message)
                self._problem = error.code
            else:
                self._problem = ""

    async def look(self) -> None:
        """Once. Raises what XVOMS and closing do; the other VOs are closed nevertheless."""
        names = sorted(await self._vos())
        problem: XosError | None = None
        for start in range(0, len(names), MOST):
            some = tuple(names[start : start + MOST])
            for vo in await XVOMSAsync(self._bus).dissolved(some, deadline=ANSWER_SECONDS):
                log.info("vo.dissolved", vo=vo)
                try:
                    await self._close(vo)
                except XosError as error:
                    problem = error
        if problem is not None:
            raise problem
