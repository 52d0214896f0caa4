# SPDX-License-Identifier: BSD-3-Clause
"""A volume as a program sees it: its names at the MRC, its bytes at OSDs, one session that holds what is open.

    async with opened_volume(bus, "home") as volume:
        inode = await volume.resolve("/alice/data")
        async with await volume.open(inode.id, Open(Access.READ)) as file:
            content = await file.read(0, inode.size)

What may not be done raises `OSError` with the errno that Linux has for it; who does not answer for `patience` seconds,
EIO. A service that restarts meanwhile is waited for, and what was asked is carried out once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import NamedTuple, TypeVar

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.stubs import HasCallers
from xos.xtreemfs.api import (
    CAPABILITY_SECONDS,
    Access,
    Change,
    Changed,
    Claim,
    Closed,
    Extent,
    Inode,
    Open,
    Opened,
    Row,
    Session,
    What,
)
from xos.xtreemfs.client.content import LARGEST_FILE, Budget, Content
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.gathering import Gathering, Rooms
from xos.xtreemfs.client.grants import Grant, Osds, Shown
from xos.xtreemfs.client.loans import Neighbours
from xos.xtreemfs.client.ordered import Ordered
from xos.xtreemfs.client.patience import AWAY, CALL_SECONDS, PATIENCE_SECONDS, persist
from xos.xtreemfs.client.serving import Serving
from xos.xtreemfs.errors import Refused, UnknownVolume
from xos.xtreemfs.xati import DIRAsync, MRCAsync

log = get_logger("xos.xtreemfs.client")

REPORT_SECONDS = 3.0
"""How often sizes of files that are being written go to the MRC, and what was written sets out at the latest."""
START_SECONDS = 30.0
"""How long the first answer is waited for: a machine that boots may be ahead of its servers."""
CLOSE_SECONDS = 0.25
"""For how long files that were closed gather before the MRC hears of them."""
MOST_CLOSED = 256
RENEW_SECONDS = CAPABILITY_SECONDS / 3

_T = TypeVar("_T")


class VolumeClient(Ordered):
    """Use `opened_volume`."""

    def __init__(
        self,
        bus: HasCallers,
        name: str,
        client: str,
        patience: float = PATIENCE_SECONDS,
        neighbours: Neighbours | None = None,
        *,
        leases: bool = False,
        own: Claim | None = None,
    ) -> None:
        super().__init__(name, patience, leases=leases, own=own)
        self._bus, self._client = bus, client
        self._osds, self._neighbours = Osds(bus), neighbours
        self._budget = Budget()
        self.gathering = Gathering(self._osds, Rooms(self._osds, self._errand), self)
        self._contents: dict[int, Content] = {}
        self._handles: dict[int, set[Handle]] = {}
        self._closed: list[_Closing] = []
        self._later: list[_Closing] = []
        """Of files of which the MRC hears now that they are open."""
        self._closing = asyncio.Event()
        self._telling = asyncio.Lock()
        self._beginning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.on_change: Callable[[Changed | None], Awaitable[None]] | None = None
        """Hears what others changed; None: anything may have changed, since nobody could tell for a while."""

    # --- life

    async def start(self) -> None:
        """Find the volume and begin a session. Raises `UnknownVolume`, `Refused`, and what says that nobody answers."""
        registry = DIRAsync(self._bus)
        try:
            record = await persist(
                lambda: registry.volume(self.name, deadline=CALL_SECONDS), seconds=min(self.patience, START_SECONDS)
            )
        except Refused as error:
            if error.data.get("errno") == errno.ENOENT:
                raise UnknownVolume(volume=self.name) from error
            raise
        self.serving = Serving(self._bus, self.name, record.mrc)
        self.mrc = MRCAsync(self.serving)
        self._take(await self._first(self.name))
        works = (
            self._keep(), self._watch(), self._report(), self._renew(), self._send_closed(),
            self.pending.run(), self._hold(),
        )  # fmt: skip
        self._tasks = [asyncio.get_running_loop().create_task(self._lasting(work)) for work in works]

    async def close(self) -> None:
        """Write everything and end the session. Raises `OSError` when something could not be written."""
        failed: OSError | None = None
        for content in list(self._contents.values()):
            try:
                await self._settle(content)
            except OSError as error:
                failed = error
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._errands, return_exceptions=True)
        try:
            await self.give_all_back()
            await self._flush_closed()
            await self.mrc.end(self.session.id, deadline=CALL_SECONDS)
        except (XosError, OSError) as error:
            log.info("client.not-ended", volume=self.name, detail=str(error))
        self.serving.close()
        if failed is not None:
            raise failed

    async def _first(self, name: str) -> Session:
        return await persist(
            lambda: self.mrc.begin(name, self._client, deadline=CALL_SECONDS), seconds=CALL_SECONDS, on_away=self._away
        )

    async def _lasting(self, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("client.task", volume=self.name)

    # --- files

    async def open(self, inode: int, wanted: Open, claim: Claim | None = None) -> Handle:
        """Open a regular file."""
        await self.told(inode)
        opened = await self.change(claim, lambda mrc, ask: mrc.open(inode, wanted, ask, deadline=CALL_SECONDS))
        if wanted.truncate:
            self.touched(inode)
        return await self._opened(opened, wanted, claim)

    async def open_name(self, parent: int, name: bytes, wanted: Open, claim: Claim | None = None) -> Handle:
        """Look a name up, create it if so wished, and open it."""
        async with self.changing(claim, (parent, name)):
            opened = await self.change(
                claim, lambda mrc, ask: mrc.open_name(parent, name, wanted, ask, deadline=CALL_SECONDS)
            )
        self.entered(parent, name, opened.inode)
        return await self._opened(opened, wanted, claim)

    async def _opened(self, opened: Opened, wanted: Open, claim: Claim | None) -> Handle:
        number = opened.inode.id
        content = self._contents.get(number)
        if content is None:
            content = self._contents[number] = Content(opened.inode, self._budget, self.now, self._neighbours)
        handle = self._handle(content, opened, wanted.access, claim, None)
        if wanted.truncate and not opened.created:
            content.drop()
            await content.truncate(handle.grant, 0)
            content.mtime = opened.inode.mtime
        else:
            content.told(opened.inode)
            handle.inode = content.view(opened.inode)
        return handle

    def opened_here(
        self, inode: Inode, shown: Shown, access: Access, claim: Claim | None, version: int, *, created: bool
    ) -> Handle:
        """See `Leasing`."""
        content = self._contents.get(inode.id)
        if content is None:
            content = self._contents[inode.id] = Content(inode, self._budget, self.now, self._neighbours)
        handle = self._handle(content, Opened(inode, 0, shown.signed, created, version), access, claim, shown)
        handle.inode = content.view(inode)
        return handle

    def _handle(
        self, content: Content, opened: Opened, access: Access, claim: Claim | None, shown: Shown | None
    ) -> Handle:
        handle = Handle(self, content, opened, access, claim)
        handle.grant = Grant(opened, self._osds, handle, self.patience, shown)
        if access & Access.WRITE:
            self._early.drop(content.number)
            content.early = None
        self._handles.setdefault(content.number, set()).add(handle)
        self._give_grants(content.number)
        return handle

    def handles_of(self, number: int) -> Iterable[Handle]:
        """See `Leasing`."""
        return self._handles.get(number, ())

    def changes_here(self, number: int) -> bool:
        """See `Leasing`."""
        content = self._contents.get(number)
        return content is not None and (content.writer is not None or content.unreported or content.unsettled)

    def _give_grants(self, number: int) -> None:
        """Let the file be read and written with what is open."""
        content, handles = self._contents[number], self._handles[number]
        content.reader = next((handle.grant for handle in handles if handle.access & Access.READ), None)
        content.writer = next((handle.grant for handle in handles if handle.access & Access.WRITE), None)

    async def forget(self, handle: Handle) -> None:
        """Close it; what it wrote goes out first. Raises `OSError`."""
        try:
            if handle.access & Access.WRITE:
                await handle.content.settle()
        finally:
            self.drop(handle)

    def drop(self, handle: Handle) -> None:
        """Close it, when all is at the OSDs; the MRC hears of it in a moment."""
        content = handle.content
        handles = self._handles[content.number]
        handles.discard(handle)
        self._give_grants(content.number)
        if not self.closed_here(handle):
            wrote = content.unreported and bool(handle.access & Access.WRITE)
            mtime = content.landed_until if content.dirty else content.mtime
            closing = _Closing(handle, content.extent if wrote else None, mtime)
            if handle.number:
                self._closed.append(closing)
                self._closing.set()
            else:
                self._later.append(closing)
        if content.writer is None and not content.dirty:
            content.rest()
        if not handles:
            content.close()
            del self._handles[content.number]
            if not content.unreported:
                del self._contents[content.number]

    def named(self, handle: Handle) -> None:
        """See `Leasing`."""
        for closing in [one for one in self._later if one.handle is handle]:
            self._later.remove(closing)
            if handle.number:
                self._closed.append(closing)
                self._closing.set()
            else:
                handle.content.given_up()

    def close_late(self, handle: Handle) -> None:
        """See `Leasing`."""
        self._closed.append(_Closing(handle, None, 0))
        self._closing.set()

    async def truncate(self, inode: int, size: int, handle: Handle | None, claim: Claim | None = None) -> Inode:
        """Set the size."""
        if size > LARGEST_FILE:
            raise OSError(errno.EFBIG, "the file would be too large")
        content = self._contents.get(inode)
        if content is not None:
            await self._settle(content)
        await self.before()
        number = handle.number if handle is not None else 0
        self.touched(inode)
        opened = await self.change(
            claim, lambda mrc, ask: mrc.truncate(inode, size, number, ask, deadline=CALL_SECONDS)
        )
        grant = Grant(opened, self._osds, handle or _NotOpen(), self.patience)
        if content is None:
            content = Content(opened.inode, self._budget, self.now)
        await content.truncate(grant, size)
        for other in self._handles.get(inode, ()):
            await other.grant.renew()
        self.touched(inode)
        return opened.inode

    async def _settle(self, content: Content) -> None:
        extent = await content.settle()
        # What is told late must not undo what follows, such as another time of change.
        if self._telling.locked() or any(one.handle.content is content for one in self._closed):
            await self._flush_closed()
        await self.tell(content, extent)

    async def tell(self, content: Content, extent: Extent, *, durable: bool = False) -> Inode | None:
        """Tell the MRC what was written, if it does not know; then the inode with it.

        *durable*: and all that it was told before survives a power cut.
        """
        handle = next((h for h in self._handles.get(content.number, ()) if h.access & Access.WRITE), None)
        if handle is None or not content.unreported:
            if durable:
                await self.sync()
            return None
        if not handle.number:
            await self.pending.tell()
            if not handle.number:
                raise OSError(errno.EIO, "the file could not be made")
        mtime = content.landed_until
        inode = await self.change(
            handle.claim,
            lambda mrc, ask: mrc.update(handle.number, extent, mtime, ask, durable, deadline=CALL_SECONDS),
        )
        content.reported(extent, mtime)
        self.touched(content.number)
        return content.view(inode)

    async def sync(self) -> None:
        """All that was closed, and that the MRC has acknowledged, survives a power cut when this returns."""
        await self._flush_closed()
        await super().sync()

    async def readdir(self, inode: int, after: int, most: int, claim: Claim | None = None) -> list[Row]:
        """Entries behind the cookie *after*."""
        if not self.pending.empty:
            await self.pending.tell()
        return self._rows_seen(await self.rows(inode, after, most, claim))

    def _rows_seen(self, rows: list[Row]) -> list[Row]:
        return [Row(row.cookie, row.name, self.seen(row.inode)) for row in rows] if self._contents else rows

    async def look_ahead(self, parent: int, name: bytes, most: int, claim: Claim | None = None) -> list[Row]:
        """The entry *name*, and those that follow it; it takes the right to list the directory."""
        if not self.pending.empty:
            await self.pending.tell()
        self.visited(parent, 1, claim)
        rows = await self.call(
            lambda mrc: mrc.look_ahead(parent, name, most, claim, self.session.id, deadline=CALL_SECONDS)
        )
        return self._rows_seen(rows)

    async def setattr(self, inode: int, change: Change, claim: Claim | None = None) -> Inode:
        """Change attributes, but for the size (`truncate`)."""
        content = self._contents.get(inode)
        if content is not None and (change.mtime is not None or change.atime is not None):
            await self._settle(content)
        await self.before()
        self.touched(inode)
        changed = await self.change(claim, lambda mrc, ask: mrc.setattr(inode, change, ask, deadline=CALL_SECONDS))
        self.touched(inode)
        return self.seen(changed)

    def seen(self, inode: Inode) -> Inode:
        """As programs here are to see it: with what they wrote and the MRC does not know yet."""
        content = self._contents.get(inode.id)
        return inode if content is None else content.view(inode)

    async def refreshed(self, number: int) -> Inode:
        """The attributes; an open file is read as long as others have made it meanwhile."""
        await self.told(number)
        inode = await self.call(lambda mrc: mrc.getattr(number, self.session.id, deadline=CALL_SECONDS))
        if (content := self._contents.get(number)) is not None:
            content.told(inode)
        return self.seen(inode)

    # --- what goes on behind

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.session.lease_seconds / 4)
            try:
                self._ahead = await self.mrc.keep(self.session.id, deadline=CALL_SECONDS) - time.time_ns()
            except Refused:
                await self._revived()
            except AWAY as error:
                self._away(error)
            except XosError as error:
                log.warning("client.keep", volume=self.name, detail=str(error))

    async def _revived(self) -> bool:
        """Whether there is a session anew, because the MRC knew the old one no more."""
        session = self.session
        async with self._beginning:
            if session.id != self.session.id:
                return True
            try:
                await self.mrc.keep(session.id, deadline=CALL_SECONDS)
            except Refused:
                log.warning("client.session-lost", volume=self.name)
            except XosError:
                return False
            else:
                return False
            try:
                self._take(await self._first(self.name))
            except XosError as error:
                log.warning("client.no-session", volume=self.name, detail=str(error))
                return False
        self.lose_all()
        for handles in list(self._handles.values()):
            for handle in list(handles):
                if handle.number:
                    await handle.reopen()
        self._errand(self._introduce())
        for closing in self._closed:
            if closing.extent is not None:
                await closing.handle.reopen()
        if self.on_change is not None:
            await self.on_change(None)
        return True

    async def _watch(self) -> None:
        while True:
            try:
                async for changed in self.mrc.watch(self.session.id):
                    if changed.what is What.RECALL:
                        self.recalled(changed.inode)
                        continue
                    if changed.what is What.ALL:
                        self.doubted()
                    self.changed_elsewhere(changed)
                    if changed.inode in self._handles:
                        with contextlib.suppress(OSError):  # it is gone: who uses it will hear so
                            await self.refreshed(changed.inode)
                    if self.on_change is not None:
                        await self.on_change(changed)
            except (XosError, OSError) as error:
                log.info("client.watch", volume=self.name, detail=str(error))
            self.doubted()
            await asyncio.sleep(0.5)
            if self.on_change is not None:
                await self.on_change(None)

    async def _report(self) -> None:
        gone: list[Content] = []
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            for content in [self._contents[number] for number in self._handles]:
                try:
                    await self.tell(content, await content.landed())
                except OSError as error:
                    log.info("client.report", file=content.number, detail=str(error))
            # What answers that were under way when they were closed may still be compared with.
            for content in gone:
                if content.number not in self._handles and not content.unreported:
                    self._contents.pop(content.number, None)
            gone = [content for number, content in self._contents.items() if number not in self._handles]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.before()
            handles = [handle for each in self._handles.values() for handle in each if handle.number]
            for at in range(0, len(handles), 1000):
                some = handles[at : at + 1000]
                try:
                    found = await self.renewed([handle.number for handle in some])
                except OSError as error:
                    log.warning("client.renew", volume=self.name, detail=str(error))
                    break
                for handle, opened in zip(some, found, strict=False):
                    if opened is not None:
                        handle.grant.replace(opened)

    async def renewed(self, numbers: list[int]) -> list[Opened | None]:
        """Fresh capabilities for handles."""
        return await self.call(lambda mrc: mrc.renew(self.session.id, numbers, deadline=CALL_SECONDS))

    async def failed_over(self, handle: Handle, term: int, dead: str) -> Opened:
        """Another primary for an open file."""
        return await self.change(
            handle.claim, lambda mrc, ask: mrc.fail_over(handle.number, term, dead, ask, deadline=CALL_SECONDS)
        )

    async def _send_closed(self) -> None:
        while True:
            await self._closing.wait()
            self._closing.clear()
            await asyncio.sleep(CLOSE_SECONDS)
            await self._flush_closed()

    async def _flush_closed(self) -> None:
        async with self._telling:
            while self._closed:
                some, self._closed = self._closed[:MOST_CLOSED], self._closed[MOST_CLOSED:]
                await self._close(some)

    async def _close(self, some: list[_Closing]) -> None:
        some = [one if one.handle.content.unreported else one._replace(extent=None) for one in some]
        closed = [Closed(one.handle.number, one.extent, one.mtime) for one in some]
        written = [(one.handle.content, one.extent, one.mtime) for one in some if one.extent is not None]
        try:
            await self.change(None, lambda mrc, ask: mrc.close(closed, ask, deadline=CALL_SECONDS))
        except OSError as error:
            log.warning("client.close", volume=self.name, detail=str(error))
            for content, _, _ in written:
                content.given_up()
        else:
            for content, extent, mtime in written:
                content.reported(extent, mtime)
                self.reported(content.number, extent, mtime)


class _Closing(NamedTuple):
    """A file that was closed, of which the MRC has not heard."""

    handle: Handle
    extent: Extent | None
    mtime: int


class _NotOpen:
    """Of a file that is truncated without being open: its capability is good for the one purpose."""

    async def renewed(self) -> Opened:
        raise OSError(errno.ESTALE, "the file is not open")

    async def failed_over(self, term: int, dead: str) -> Opened:
        raise OSError(errno.EIO, f"{dead}, primary of term {term}, does not answer")


@contextlib.asynccontextmanager
async def opened_volume(
    bus: HasCallers,
    name: str,
    *,
    client: str = "",
    patience: float = PATIENCE_SECONDS,
    neighbours: Neighbours | None = None,
    leases: bool = False,
    own: Claim | None = None,
) -> AsyncIterator[VolumeClient]:
    """A volume; *client* says who uses it, for people; *neighbours*: of one that may open the files of OSDs.

    *leases*: whether directories that are used much are leased, see `xos.xtreemfs.client.leasing`; *own*: whom the
    connection speaks for, where calls have no claim. Raises as `VolumeClient.start`.
    """
    volume = VolumeClient(bus, name, client or "library", patience, neighbours, leases=leases, own=own)
    await volume.start()
    try:
        yield volume
    finally:
        await volume.close()
