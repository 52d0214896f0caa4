# SPDX-License-Identifier: BSD-3-Clause
"""Open directories: pages of rows, since the kernel asks for a few at a time."""

from __future__ import annotations

import bisect
from operator import attrgetter

from xos.xtreemfs.api import Claim, Row
from xos.xtreemfs.client.volume import VolumeClient

PAGE = 512

_cookie = attrgetter("cookie")


class _Page:
    """Rows behind the cookie *after*."""

    __slots__ = ("after", "last", "rows")

    def __init__(self, after: int, rows: list[Row], *, last: bool) -> None:
        self.after, self.rows, self.last = after, rows, last

    def behind(self, cookie: int) -> list[Row] | None:
        """The rows behind *cookie*; None: they are not in this page."""
        end = self.rows[-1].cookie if self.rows else self.after
        if cookie < self.after or cookie > end or (cookie == end and not self.last):
            return None
        return self.rows[bisect.bisect_right(self.rows, cookie, key=_cookie) :]


class Directories:
    """Those that are open."""

    def __init__(self, volume: VolumeClient) -> None:
        self._volume = volume
        self._pages: dict[int, _Page | None] = {}
        self._next = 0

    def open(self, number: int) -> int:  # noqa: ARG002
        """A handle for the directory."""
        self._next += 1
        self._pages[self._next] = None
        return self._next

    async def rows(self, handle: int, number: int, after: int, claim: Claim | None) -> list[Row]:
        """Some rows behind the cookie *after*; none: that is all. Raises `OSError`."""
        page = self._pages.get(handle)
        found = None if page is None or after == 0 else page.behind(after)  # from the beginning: read anew
        if found is not None:
            return found
        rows = await self._volume.readdir(number, after, PAGE, claim)
        self._pages[handle] = _Page(after, rows, last=len(rows) < PAGE)
        return rows

    def close(self, handle: int) -> None:
        """It is read no more."""
        self._pages.pop(handle, None)
