# SPDX-License-Identifier: BSD-3-Clause
"""Open directories: pages of rows, since the kernel asks for a few at a time.

A page is used for `VALID_SECONDS` since the MRC was asked for it, and until something is heard of its directory.
"""

from __future__ import annotations

import bisect
import time
from operator import attrgetter

from xos.xtreemfs.api import Claim, Row
from xos.xtreemfs.client.volume import VolumeClient
from xos.xtreemfs.mount.ahead import VALID_SECONDS

PAGE = 512

_cookie = attrgetter("cookie")


class _Page:
    """Rows behind the cookie *after*."""

    __slots__ = ("after", "last", "number", "rows", "when")

    def __init__(self, number: int, after: int, rows: list[Row], when: float, *, last: bool) -> None:
        self.number, self.after, self.rows, self.when, self.last = number, after, rows, when, last

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

    async def rows(self, handle: int, number: int, after: int, claim: Claim | None) -> tuple[list[Row], float]:
        """Some rows behind the cookie *after*, and since when that holds (`time.monotonic`); none: that is all.

        Raises `OSError`.
        """
        page = self._pages.get(handle)
        now = time.monotonic()
        if page is not None and after and now - page.when < VALID_SECONDS:  # from the beginning: read anew
            found = page.behind(after)
            if found is not None:
                return found, page.when
        asking = self._pages[handle] = _Page(number, after, [], now, last=False)
        rows = await self._volume.readdir(number, after, PAGE, claim)
        if self._pages.get(handle) is asking:  # and nothing was heard of the directory meanwhile
            self._pages[handle] = _Page(number, after, rows, now, last=len(rows) < PAGE)
        return rows, now

    def changed(self, number: int) -> None:
        """Something in the directory is not as it was: it is asked for anew."""
        for handle, page in self._pages.items():
            if page is not None and page.number == number:
                self._pages[handle] = None

    def clear(self) -> None:
        """Anything may have changed."""
        self._pages = dict.fromkeys(self._pages)

    def close(self, handle: int) -> None:
        """It is read no more."""
        self._pages.pop(handle, None)
