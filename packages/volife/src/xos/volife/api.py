# SPDX-License-Identifier: BSD-3-Clause
"""VOLife as other services and commands see it: where its page is."""

from __future__ import annotations

from typing import Protocol

import msgspec

from xos.dixi.api import call, service


class Page(msgspec.Struct, array_like=True, frozen=True):
    """Where people reach VOLife."""

    url: str
    """``https://…/``, as a browser takes it."""
    sessions: int = 0
    """People who are signed in now."""


@service
class VOLife(Protocol):
    """The web page of Virtual Organisations."""

    @call(reads=True)
    async def page(self) -> Page:
        """Where the page is, and how many are signed in."""
        ...
