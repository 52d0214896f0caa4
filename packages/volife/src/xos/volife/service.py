# SPDX-License-Identifier: BSD-3-Clause
"""VOLife as a DIXI service: it listens for browsers, and calls the grid's services as the people who are signed in."""

from __future__ import annotations

import asyncio
import time

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.directory import NodeRecord
from xos.dixi.hosting import Hosted
from xos.dixi.transports import Address
from xos.dixi.xati import DirectoryAsync
from xos.volife.api import Page, VOLife
from xos.volife.limits import Limits
from xos.volife.pages.all import PAGES
from xos.volife.server import Server, shown_to_browsers
from xos.volife.sessions import Sessions
from xos.volife.settings import Settings
from xos.volife.site import Site

TEND_SECONDS = 5.0
AGAIN_SECONDS = 1.0
"""Before the Directory is asked again after it went away."""

log = get_logger("xos.volife")


class VolifeService(Hosted[Settings], VOLife):
    """The page, over a `Site`."""

    settings_type = Settings
    _server: Server
    _sessions: Sessions

    async def start(self) -> None:
        """Listen. Raises `AddressTaken`, and what is wrong with the certificate for browsers."""
        settings = self.settings
        shown = shown_to_browsers(settings, self.host.credential)
        self._server = Server(Address.parse(settings.address), shown)
        self._sessions = Sessions(
            self.host.trust,
            time.time,
            idle_s=settings.idle_minutes * 60,
            longest_s=settings.session_hours * 3600,
            most=settings.most_sessions,
        )
        self._site = Site(self.host, settings, self._sessions, Limits(time.monotonic))
        await self._server.serve(self._site.application(PAGES))
        self.host.spawn(self._tend(), name="volife-tend")
        self.host.spawn(self._follow(), name="volife-directory")

    async def stop(self) -> None:
        """Close every connection; everybody is signed out."""
        await self._server.close()
        self._sessions.close()

    async def page(self) -> Page:
        """See `VOLife.page`."""
        return Page(self.settings.url or f"https://{self._server.address}/", self._sessions.people)

    async def _tend(self) -> None:
        """Every few seconds: whose session is over, which certificate to show."""
        while True:
            now = asyncio.get_running_loop().time()
            self._sessions.sweep(now)
            self._server.tend(now)
            if not self.settings.certificate:
                self._server.renew(self.host.credential)
            await asyncio.sleep(TEND_SECONDS)

    async def _follow(self) -> None:
        """Hear from the Directory which nodes are up; what was heard last stays while it is away."""
        directory = DirectoryAsync(self.host.bus)
        while True:
            nodes: dict[str, NodeRecord] = {}
            try:
                async for change in directory.watch():
                    if change.up:
                        nodes[change.node.node] = change.node
                    else:
                        nodes.pop(change.node.node, None)
                    self._site.look(nodes.values())
            except XosError as error:
                log.info("directory.away", code=error.code)
            await asyncio.sleep(AGAIN_SECONDS)
