# SPDX-License-Identifier: BSD-3-Clause
"""Small new files that a program has closed: their bytes go to the OSDs together, always before the MRC hears of them.

The program goes on meanwhile, and the file counts as open until its bytes are there. What cannot be written together
is written by a call of its own, which is repeated as every write is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import MOST_FILES, FilePart
from xos.xtreemfs.client.grants import Osds
from xos.xtreemfs.client.patience import CALL_SECONDS
from xos.xtreemfs.client.runs import Run

if TYPE_CHECKING:
    from xos.xtreemfs.client.files import Handle

log = get_logger("xos.xtreemfs.client")

LARGEST = 64 << 10
"""Bytes of a file; all of a call fit into one then."""
SLOW_SECONDS = 0.25
"""While bytes are under way for so long, programs wait for theirs: a client that dies takes no more with it."""
ROOM = 1 << 30
"""Bytes that an OSD must have free, many times what a client has unsent: else close(2) waits, and tells of no room."""
ROOM_SECONDS = 1.0
"""How old that may be."""


class Kept(NamedTuple):
    """One file's bytes."""

    handle: Handle
    run: Run
    there: asyncio.Future[None]
    """Done when they are at the OSD, or never will be."""


class Rooms:
    """Which OSDs have plenty of room, as they said a moment ago."""

    def __init__(self, osds: Osds, errand: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._osds, self._errand = osds, errand
        self._known: dict[str, tuple[bool, float]] = {}
        self._asking: set[str] = set()

    def plenty(self, node: str) -> bool:
        """Whether it has; False too while that is not known."""
        has, when = self._known.get(node, (False, 0.0))
        old = time.monotonic() - when
        if old > ROOM_SECONDS / 2 and node not in self._asking:
            self._asking.add(node)
            self._errand(self._ask(node))
        return has and old < ROOM_SECONDS

    async def _ask(self, node: str) -> None:
        asked = time.monotonic()
        try:
            health = await self._osds.at(node).health(deadline=CALL_SECONDS)
            self._known[node] = health.free >= ROOM and not health.read_only and not health.full, asked
        except XosError as error:
            self._known.pop(node, None)
            log.info("client.no-health", node=node, detail=str(error))
        finally:
            self._asking.discard(node)


class Landing(Protocol):
    """The client, as it is needed here."""

    def landed(self, handle: Handle) -> None:
        """The bytes of a file are at its OSD, or never will be; if the program has closed it, it is closed now."""
        ...


class Gathering:
    """Of one client."""

    def __init__(self, osds: Osds, rooms: Rooms, landing: Landing) -> None:
        self._osds, self._rooms, self._landing = osds, rooms, landing
        self._waiting: dict[str, list[Kept]] = {}
        self._under_way: dict[asyncio.Task[None], float] = {}

    def keep(self, handle: Handle) -> bool:
        """Take what a new file has unsent, if that is all of it and small, and nobody need wait for it."""
        content = handle.content
        if content.kept is not None:
            return content.only_kept and self._prompt
        layout, size = handle.grant.layout, content.size
        most = LARGEST if layout.striping.width == 1 else min(LARGEST, layout.striping.size)
        if len(layout.replicas) != 1 or not 0 < size <= most or not self._prompt:
            return False
        node = layout.replicas[0].osds[0]
        if not self._rooms.plenty(node):
            return False
        there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        run = content.keep(there, self.hurry)
        if run is None:
            return False
        waiting = self._waiting.setdefault(node, [])
        waiting.append(Kept(handle, run, there))
        if len(waiting) >= MOST_FILES:
            self._set_out(node)
        return True

    @property
    def _prompt(self) -> bool:
        oldest = next(iter(self._under_way.values()), None)
        return oldest is None or time.monotonic() - oldest < SLOW_SECONDS

    def hurry(self) -> None:
        """Somebody waits: all that is there sets out."""
        for node in list(self._waiting):
            self._set_out(node)

    def _set_out(self, node: str) -> None:
        task = asyncio.get_running_loop().create_task(self._send(node, self._waiting.pop(node)))
        self._under_way[task] = time.monotonic()
        task.add_done_callback(self._under_way.pop)

    async def _send(self, node: str, some: list[Kept]) -> None:
        left = set(range(len(some)))
        try:
            left = await self._together(node, some)
        except XosError as error:
            log.info("client.not-together", node=node, files=len(some), detail=str(error))
        finally:
            self._land(kept for at, kept in enumerate(some) if at not in left)
        if left:
            async with asyncio.TaskGroup() as group:
                for at in sorted(left):
                    group.create_task(self._alone(some[at]))

    async def _together(self, node: str, some: list[Kept]) -> set[int]:
        rights = [kept.handle.grant.right_at(node) for kept in some]
        files = [FilePart(right.token, len(kept.run.content)) for kept, right in zip(some, rights, strict=True)]
        shown = list({id(right.shown): right.shown for right in rights if right.shown is not None}.values())
        content = b"".join(kept.run.content for kept in some)
        answer = await self._osds.at(node).write_files(files, content, shown, deadline=CALL_SECONDS)
        left = set(range(len(some))).intersection(answer)
        for at, kept in enumerate(some):
            if at not in left:
                kept.handle.grant.known_at(node)
        return left

    async def _alone(self, kept: Kept) -> None:
        try:
            await kept.handle.content.send_kept()
        finally:
            self._land([kept])

    def _land(self, some: Iterable[Kept]) -> None:
        for kept in some:
            kept.handle.content.kept_landed()
            try:
                self._landing.landed(kept.handle)
            finally:
                kept.there.set_result(None)
