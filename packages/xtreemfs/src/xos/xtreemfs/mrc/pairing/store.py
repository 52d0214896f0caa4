# SPDX-License-Identifier: BSD-3-Clause
"""The database as the calls of an MRC see it: only of one that serves, and nothing is told that its backup lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from xos.common.storage import Store
from xos.xtreemfs.errors import NotServing
from xos.xtreemfs.mrc.pairing.outbox import Outbox

_T = TypeVar("_T")


class PairedStore:
    """Has the methods of `Store`; each of them raises `NotServing` besides."""

    def __init__(self, node: str, inner: Store) -> None:
        self._node, self.inner = node, inner
        self.serves = False
        self.instead = ""
        """Who serves, as far as is known."""
        self.outbox: Outbox | None = None

    def check(self) -> None:
        """Raises `NotServing` unless clients are answered here."""
        if not self.serves:
            raise self.refusal()

    def refusal(self) -> NotServing:
        """What clients are told here."""
        return NotServing(node=self._node, whoever=f", that of {self.instead} does" if self.instead else "")

    async def write(self, fn: Callable[[sa.Connection], _T]) -> _T:
        """See `Store.write`."""
        self.check()
        result = await self.inner.write(fn)
        await self.settled()
        return result

    async def read(self, fn: Callable[[sa.Connection], _T]) -> _T:
        """See `Store.read`."""
        self.check()
        result = await self.inner.read(fn)
        await self.settled()
        return result

    async def settled(self) -> None:
        """Return when what is known here may be told: the backup has it, and does not serve instead."""
        self.check()
        if self.outbox is not None and self.outbox.strict:
            await self.outbox.settled()

    async def sync(self) -> None:
        """See `Store.sync`; at the backup too."""
        self.check()
        await self.inner.sync()
        if self.outbox is not None:
            await self.outbox.synced()
