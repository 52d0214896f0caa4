# SPDX-License-Identifier: BSD-3-Clause
"""Inodes as the kernel sees them, and what is known of them.

What the kernel was told it may believe for `VALID_SECONDS`; what others change is dropped earlier, as the MRC tells it.
"""

from __future__ import annotations

import time

from msgspec import structs

from xos.xtreemfs.api import Changed, Inode, What
from xos.xtreemfs.client.volume import VolumeClient
from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse.filesystem import FileSystem
from xos.xtreemfs.fuse.session import Session
from xos.xtreemfs.fuse.values import Attr, Entry
from xos.xtreemfs.mount.ahead import MOST_KNOWN, VALID_SECONDS, Ahead, Kept
from xos.xtreemfs.mount.directories import Directories
from xos.xtreemfs.mount.identities import Identities

VALID_NS = int(VALID_SECONDS * 1e9)
BLOCK = 4096


class VolumeInodes(FileSystem):
    """Attributes; `xos.xtreemfs.mount.filesystem` adds names."""

    def __init__(self, volume: VolumeClient, identities: Identities) -> None:
        self.volume, self.identities = volume, identities
        self.session: Session | None = None
        """Set once it is mounted: where the kernel is told of changes."""
        self._known: Kept = {}
        self._shown: dict[int, int] = {}
        """How long the kernel was told last that each file is."""
        self.ahead = Ahead(volume, self._known)
        self.directories = Directories(volume)
        volume.on_change = self._changed

    def number(self, ino: int) -> int:
        """The MRC's number of an inode."""
        return self.volume.root if ino == abi.ROOT_ID else ino

    def ino(self, number: int) -> int:
        """The kernel's."""
        return abi.ROOT_ID if number == self.volume.root else number

    def learn(self, inode: Inode) -> Inode:
        """Remember what the MRC has just said, with what was written here."""
        inode = self.volume.seen(inode)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[inode.id] = inode, time.monotonic()
        self.ahead.changed(inode.id)
        return inode

    def unlearn(self, number: int) -> None:
        """It has changed."""
        self._known.pop(number, None)
        self.ahead.changed(number)
        self.directories.changed(number)

    def touched(self, directory: int, inode: Inode, links: int = 0) -> None:
        """A name of *inode* came into or went out of *directory*, which the MRC did at one time."""
        self.directories.changed(directory)
        known = self._known.get(directory)
        if known is not None:
            parent, when = known
            now = inode.ctime
            self._known[directory] = structs.replace(parent, mtime=now, ctime=now, nlink=parent.nlink + links), when
            self.ahead.told(directory)

    def fresh(self, number: int) -> Inode | None:
        """What is known and young enough to be believed."""
        leased = self.volume.known(number)
        if leased is not None:
            return leased
        known = self._known.get(number)
        if known is None or time.monotonic() - known[1] >= VALID_SECONDS:
            return None
        return self.volume.seen(known[0])

    def attr(self, inode: Inode) -> Attr:
        """For the kernel."""
        ino = self.ino(inode.id)
        self._shown[ino] = inode.size
        return Attr(
            ino,
            inode.mode,
            inode.nlink,
            self.identities.uid(inode.owner),
            self.identities.gid(inode.group),
            inode.size,
            -(-inode.size // 512),
            inode.atime,
            inode.mtime,
            inode.ctime,
            inode.rdev,
            BLOCK,
        )

    def entry(self, inode: Inode) -> Entry:
        """For the kernel."""
        return Entry(self.attr(self.learn(inode)), VALID_NS, VALID_NS)

    def listed(self, inode: Inode, when: float) -> Entry:
        """For the kernel, of a row that the MRC was asked for at *when* (`time.monotonic`)."""
        known = self._known.get(inode.id)
        if known is None or known[1] < when:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[inode.id] = inode, when
            self.ahead.told(inode.id)
        left_ns = max(int((when + VALID_SECONDS - time.monotonic()) * 1e9), 0)
        return Entry(self.attr(self.volume.seen(known[0])), left_ns, left_ns)

    async def inode(self, ino: int) -> Inode:
        """The attributes, asked for if they are not known. Raises `OSError`."""
        number = self.number(ino)
        return self.fresh(number) or self.learn(await self.volume.getattr(number))

    def forget(self, ino: int) -> None:
        """See `FileSystem`."""
        self._known.pop(self.number(ino), None)
        self._shown.pop(ino, None)

    async def _changed(self, changed: Changed | None) -> None:
        session = self.session
        if changed is None or changed.what is What.ALL:
            self._known.clear()
            self.ahead.clear()
            self.directories.clear()
            return
        self.unlearn(changed.inode)
        if changed.what is What.ENTRY:
            self.ahead.gone(changed.inode, changed.name)
        if session is None:
            return
        if changed.what is What.ENTRY:
            await session.invalidate_entry(self.ino(changed.inode), changed.name)
        await session.invalidate_inode(self.ino(changed.inode))
