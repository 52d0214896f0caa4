# SPDX-License-Identifier: BSD-3-Clause
"""Whether what a client has kept of a file is still what the file holds.

A time of change does not tell: it is the writer's, and may be told before the last of what it stands for has been
written. So each file has a number that is another one whenever another session may have changed it.
"""

from __future__ import annotations

import secrets
from itertools import islice
from typing import NamedTuple

MOST = 100_000
"""Files of which is known who changed them last."""


class _Change(NamedTuple):
    session: str
    last: int
    by_others: int
    """The last that another than `session` made."""


class Changes:
    """In memory: after a restart all that clients have kept is read again, once."""

    def __init__(self) -> None:
        self._last = 1 + secrets.randbits(62)
        self._others = self._last
        """The number of each file that is not `_known`."""
        self._known: dict[int, _Change] = {}

    @property
    def last(self) -> int:
        """What `number` answers is greater once another session may have changed the file after now."""
        return self._last

    def note(self, inode: int, session: str) -> None:
        """*session* may have changed it."""
        self._last += 1
        before = self._known.pop(inode, _Change("", self._others, self._others))
        by_others = before.by_others if before.session == session else before.last
        self._known[inode] = _Change(session, self._last, by_others)
        if len(self._known) > MOST:
            for old in list(islice(self._known, MOST // 2)):
                del self._known[old]
            self._last += 1
            self._others = self._last

    def number(self, inode: int, session: str) -> int:
        """Another one than before, if others than *session* may have changed it meanwhile."""
        known = self._known.get(inode)
        if known is None:
            return self._others
        return known.by_others if known.session == session else known.last
