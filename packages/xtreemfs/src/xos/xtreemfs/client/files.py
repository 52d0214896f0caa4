# SPDX-License-Identifier: BSD-3-Clause
"""Open files."""

from __future__ import annotations

import errno
from types import TracebackType
from typing import TYPE_CHECKING

from xos.common.log import get_logger
from xos.xtreemfs.api import Access, Claim, Inode, Open, Opened
from xos.xtreemfs.client.content import Content
from xos.xtreemfs.client.grants import Grant
from xos.xtreemfs.client.runs import Bytes

if TYPE_CHECKING:
    from xos.xtreemfs.client.volume import VolumeClient

log = get_logger("xos.xtreemfs.client")


class Handle:
    """A file, opened once. Several of one file share what was written (`Content`)."""

    grant: Grant

    def __init__(
        self, volume: VolumeClient, content: Content, opened: Opened, access: Access, claim: Claim | None
    ) -> None:
        self._volume, self.content, self.access, self.claim = volume, content, access, claim
        self.number = opened.handle
        """The MRC's; 0: it does not know of this one, see `xos.xtreemfs.client.leasing`."""
        self.inode: Inode = opened.inode
        """As it was when it was opened."""
        self.created = opened.created
        self.version = opened.version
        """See `Opened.version`."""
        self.left = False
        """Whether the program has closed it, and its last bytes are under way."""

    async def read(self, offset: int, length: int) -> Bytes:
        """At most *length* bytes, fewer at the end. Raises `OSError`."""
        return await self.content.read(offset, length)

    async def write(self, offset: int, content: Bytes) -> None:
        """Take *content*; it is at the OSDs after `flush`. Raises `OSError`."""
        await self.content.write(offset, content)

    async def flush(self) -> None:
        """What close(2) waits for: all is at the OSDs, and others who open the file see it. Raises `OSError`."""
        await self.content.settle()

    async def report(self) -> Inode | None:
        """And the MRC knows; then the inode with it. Raises `OSError`."""
        return await self._volume.tell(self.content, await self.content.settle())

    async def sync(self) -> Inode | None:
        """What fsync(2) waits for: and on disk. Raises `OSError`."""
        return await self._volume.tell(self.content, await self.content.sync(), durable=True)

    async def truncate(self, size: int) -> Inode:
        """Set the size. Raises `OSError`."""
        return await self._volume.truncate(self.content.number, size, self, self.claim)

    async def close(self) -> None:
        """Give it up. Raises `OSError`, of a write that failed."""
        await self._volume.forget(self)

    async def renewed(self) -> Opened:
        """See `xos.xtreemfs.client.grants.Renewal`."""
        if not self.number:
            await self._volume.introduce(self)
        found = await self._volume.renewed([self.number])
        if not found or found[0] is None:
            raise OSError(errno.EACCES, "the right to the open file was taken away")
        return found[0]

    async def failed_over(self, term: int, dead: str) -> Opened:
        """See `xos.xtreemfs.client.grants.Renewal`."""
        return await self._volume.failed_over(self, term, dead)

    async def reopen(self) -> None:
        """The session is another: open the file there. One that has no name any more is lost."""
        wanted = Open(self.access)
        number = self.content.number
        try:
            opened = await self._volume.change(self.claim, lambda mrc, ask: mrc.open(number, wanted, ask))
        except OSError as error:
            log.warning("client.not-reopened", file=number, detail=str(error))
            return
        self.number = opened.handle
        self.grant.replace(opened)

    async def __aenter__(self) -> Handle:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
