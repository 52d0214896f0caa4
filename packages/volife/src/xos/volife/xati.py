# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from xos.volife.api; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of xos.volife.api."""

from __future__ import annotations

from xos.dixi.stubs import AsyncStub, BlockingStub
from xos.volife.api import Page


class VOLifeAsync(AsyncStub):
    """The web page of Virtual Organisations."""

    service = "VOLife"

    async def page(self, *, deadline: float | None = None) -> Page:
        """Where the page is, and how many are signed in."""
        result: Page = await self._caller.call("VOLife.page", (), Page, deadline=deadline, retry=True)
        return result


class VOLifeXati(BlockingStub):
    """The web page of Virtual Organisations."""

    service = "VOLife"

    def page(self, *, deadline: float | None = None) -> Page:
        """Where the page is, and how many are signed in."""
        result: Page = self._caller.call("VOLife.page", (), Page, deadline=deadline, retry=True)
        return result
