# SPDX-License-Identifier: BSD-3-Clause
"""The rules in effect of each VO, parsed once and kept until they change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import msgspec

from xos.common.policy import PolicySet
from xos.vom import vos
from xos.vom.api import Policy
from xos.vom.core import VomCore
from xos.vom.errors import UnknownVO
from xos.vom.vops import documents

KEPT = 200
"""VOs whose rules are in memory."""


class InEffect(msgspec.Struct, frozen=True):
    """The documents of a VO, and the rules of those that are not removed."""

    policies: dict[str, Policy]
    rules: PolicySet


class Sets:
    """Belongs to the event loop. A VO's rules are read by one caller while others wait for the same."""

    def __init__(self, core: VomCore) -> None:
        self._core = core
        self._known: OrderedDict[str, InEffect] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    def lock(self, vo: str) -> asyncio.Lock:
        """Held while the VO's documents are read into memory, or changed."""
        return self._locks.setdefault(vo, asyncio.Lock())

    async def of(self, vo: str) -> InEffect:
        """What is in effect. Raises `UnknownVO`."""
        known = self._known.get(vo)
        if known is not None:
            return known
        async with self.lock(vo):
            return self._known.get(vo) or await self.load(vo)

    async def load(self, vo: str) -> InEffect:
        """Read it; the caller holds the lock. Raises `UnknownVO`, `PolicyError` (only if the engine has changed)."""
        found = await self._core.store.read(
            lambda c: documents.current(c, vo) if vos.find_vo(c, vo) is not None else None
        )
        if found is None:
            self._locks.pop(vo, None)
            raise UnknownVO(vo=vo)
        loaded = InEffect(found, await asyncio.to_thread(PolicySet.parse, documents.texts(found)))
        self.put(vo, loaded)
        return loaded

    def put(self, vo: str, loaded: InEffect) -> None:
        """From now on this is in effect: it is on disk."""
        self._known[vo] = loaded
        self._known.move_to_end(vo)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def forget(self, vo: str) -> None:
        """The VO is gone, or has changed behind our back."""
        self._known.pop(vo, None)
