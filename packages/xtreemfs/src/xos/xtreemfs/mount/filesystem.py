# SPDX-License-Identifier: BSD-3-Clause
"""A volume as the kernel sees it: names and attributes.

The kernel checks permissions by modes and ACLs, and the MRC again by the caller's identity, which decides.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

from xos.common.log import get_logger
from xos.xtreemfs import api
from xos.xtreemfs.api import Inode
from xos.xtreemfs.client.leased import ABSENT
from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse import values as fuse
from xos.xtreemfs.fuse.session import DEFAULT_FEATURES, Wishes
from xos.xtreemfs.fuse.values import Attributes, Caller, DirectoryEntry, Entry, Opened, Statfs, no_entry, refuse
from xos.xtreemfs.mount import acl
from xos.xtreemfs.mount.ahead import VALID_SECONDS
from xos.xtreemfs.mount.inodes import BLOCK, VALID_NS, VolumeInodes

log = get_logger("xos.xtreemfs.mount")

WISHES = Wishes(
    features=DEFAULT_FEATURES
    | abi.InitFlag.POSIX_LOCKS
    | abi.InitFlag.FLOCK_LOCKS
    | abi.InitFlag.HANDLE_KILLPRIV_V2
    | abi.InitFlag.POSIX_ACL
    | abi.InitFlag.DONT_MASK
    | abi.InitFlag.DIRECT_IO_ALLOW_MMAP,
    interrupted_seconds=5.0,
)


class VolumeNames(VolumeInodes):
    """Names and attributes; `xos.xtreemfs.mount.files` adds open files."""

    masks = False

    # --- names

    def lookup(self, caller: Caller, parent: int, name: bytes) -> Any:
        """See `FileSystem`."""
        number, claim = self.number(parent), self.identities.claim(caller)
        leased = self.volume.find(number, name, claim)
        if isinstance(leased, Inode):
            return self.entry(leased)
        if leased is ABSENT:
            return no_entry(VALID_NS)
        found = self.ahead.find(number, name, claim)
        if found is None:
            return self._lookup(number, name, claim)
        left_ns = int(found.left * 1e9)
        return Entry(self.attr(found.inode), left_ns, left_ns)

    async def _lookup(self, parent: int, name: bytes, claim: api.Claim | None) -> Entry | bytes:
        try:
            return self.entry(await self.ahead.lookup(parent, name, claim))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return no_entry(VALID_NS)
            raise

    async def _make(
        self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int = 0, target: bytes | None = None
    ) -> Entry:
        number = self.number(parent)
        if target is None:
            mode = await self.masked(caller, number, mode)
        inode = await self.volume.create(number, name, mode, rdev, target, self.identities.claim(caller))
        self.touched(number, inode, int(inode.is_directory))
        return self.entry(inode)

    async def masked(self, caller: Caller, directory: int, mode: int) -> int:
        """*mode* without what the program's umask forbids; a default ACL takes its place (acl(5))."""
        if not caller.umask or not mode & caller.umask:
            return mode
        known = self._known.get(directory)
        inode = known[0] if known is not None else self.learn(await self.volume.getattr(directory))
        return mode if inode.default_acl else mode & ~caller.umask

    async def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Entry:
        """See `FileSystem`."""
        return await self._make(caller, parent, name, mode, rdev)

    async def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Entry:
        """See `FileSystem`."""
        return await self._make(caller, parent, name, stat.S_IFDIR | mode)

    async def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Entry:
        """See `FileSystem`."""
        return await self._make(caller, parent, name, stat.S_IFLNK | 0o777, target=target)

    async def link(self, caller: Caller, ino: int, parent: int, name: bytes) -> Entry:
        """See `FileSystem`."""
        to = self.number(parent)
        inode = await self.volume.link(self.number(ino), to, name, self.identities.claim(caller))
        self.touched(to, inode)
        return self.entry(inode)

    def unlink(self, caller: Caller, parent: int, name: bytes) -> Any:
        """See `FileSystem`."""
        number, claim = self.number(parent), self.identities.claim(caller)
        left = self.volume.remove(number, name, claim)
        if left is None:
            return self._unlink(number, name, claim)
        self.ahead.gone(number, name)
        self.touched(number, self.learn(left))
        return None

    async def _unlink(self, parent: int, name: bytes, claim: api.Claim | None) -> None:
        try:
            inode = self.learn(await self.volume.unlink(parent, name, claim))
        finally:
            self.ahead.gone(parent, name)
        self.touched(parent, inode)

    async def rmdir(self, caller: Caller, parent: int, name: bytes) -> None:
        """See `FileSystem`."""
        number = self.number(parent)
        self.unlearn(number)
        try:
            await self.volume.rmdir(number, name, self.identities.claim(caller))
        finally:
            self.ahead.gone(number, name)

    async def rename(
        self, caller: Caller, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int
    ) -> None:
        """See `FileSystem`."""
        old, new = self.number(parent), self.number(new_parent)
        self.unlearn(old)
        self.unlearn(new)
        try:
            lost = await self.volume.rename(old, name, new, new_name, flags, self.identities.claim(caller))
        finally:
            self.ahead.gone(old, name)
            self.ahead.gone(new, new_name)
        if lost is not None:
            self.learn(lost)

    # --- inodes

    def getattr(self, caller: Caller, ino: int, fh: int | None) -> Any:  # noqa: ARG002
        """See `FileSystem`."""
        number = self.number(ino)
        leased = self.volume.known(number)
        if leased is not None:
            return Attributes(self.attr(self.learn(leased)), VALID_NS)
        known = self._known.get(number)
        if known is not None:
            left = VALID_SECONDS - (time.monotonic() - known[1])
            if left > 0:
                return Attributes(self.attr(self.volume.seen(known[0])), int(left * 1e9))
        return self._getattr(number)

    async def _getattr(self, number: int) -> Attributes:
        return Attributes(self.attr(self.learn(await self.volume.getattr(number))), VALID_NS)

    def setattr(self, caller: Caller, ino: int, change: fuse.Change) -> Any:
        """See `FileSystem`."""
        number, claim = self.number(ino), self.identities.claim(caller)
        wanted = self._wanted(number, change)
        inode = self.volume.change_here(number, wanted, claim)
        if inode is None:
            return self._setattr(number, wanted, claim)
        return Attributes(self.attr(self.learn(inode)), VALID_NS)

    def _wanted(self, number: int, change: fuse.Change) -> api.Change:
        return api.Change(
            mode=change.mode,
            owner=None if change.uid is None else self._owner(number, change.uid),
            group=None if change.gid is None else self._group(number, change.gid),
            atime=_time(change.atime),
            mtime=_time(change.mtime),
        )

    async def _setattr(self, number: int, wanted: api.Change, claim: api.Claim | None) -> Attributes:
        return Attributes(self.attr(self.learn(await self.volume.setattr(number, wanted, claim))), VALID_NS)

    def _owner(self, number: int, uid: int) -> str:
        # Who is nobody here stays who they are, if that is what is wanted.
        known = self._known.get(number)
        same = known is not None and self.identities.uid(known[0].owner) == uid
        return known[0].owner if same and known is not None else self.identities.owner(uid)

    def _group(self, number: int, gid: int) -> str:
        known = self._known.get(number)
        same = known is not None and self.identities.gid(known[0].group) == gid
        return known[0].group if same and known is not None else self.identities.group(gid)

    async def readlink(self, caller: Caller, ino: int) -> bytes:  # noqa: ARG002
        """See `FileSystem`."""
        target = (await self.inode(ino)).target
        if target is None:
            raise refuse(errno.EINVAL)
        return target

    async def statfs(self, caller: Caller, ino: int) -> Statfs:  # noqa: ARG002
        """See `FileSystem`."""
        space = await self.volume.space()
        return Statfs(
            blocks=space.total // BLOCK,
            bfree=space.free // BLOCK,
            bavail=space.free // BLOCK,
            files=space.most_files,
            ffree=max(space.most_files - space.files, 0),
            bsize=1 << 20,
            frsize=BLOCK,
        )

    # --- extended attributes

    def getxattr(self, caller: Caller, ino: int, name: bytes) -> Any:
        """See `FileSystem`."""
        if name in (acl.ACCESS, acl.DEFAULT):  # the kernel asks for it to check permissions
            known = self.fresh(self.number(ino))
            return self._acl_of(known, name) if known is not None else self._acl(ino, name)
        if name.startswith(b"security."):  # the MRC keeps none, and the kernel asks before each first write
            raise refuse(errno.EOPNOTSUPP)
        return self.volume.getxattr(self.number(ino), name, self.identities.claim(caller))

    async def _acl(self, ino: int, name: bytes) -> bytes:
        return self._acl_of(await self.inode(ino), name)

    def _acl_of(self, inode: Inode, name: bytes) -> bytes:
        text = acl.whole(inode) if name == acl.ACCESS else inode.default_acl
        if not text:
            raise refuse(errno.ENODATA)
        return acl.from_text(text, self.identities)

    async def listxattr(self, caller: Caller, ino: int) -> list[bytes]:
        """See `FileSystem`."""
        return await self.volume.listxattr(self.number(ino), self.identities.claim(caller))

    async def setxattr(self, caller: Caller, ino: int, name: bytes, value: bytes, flags: int) -> None:
        """See `FileSystem`."""
        number = self.number(ino)
        if name in (acl.ACCESS, acl.DEFAULT):
            value = acl.to_text(value, self.identities).encode()
        await self.volume.setxattr(number, name, value, flags, self.identities.claim(caller))
        self.unlearn(number)

    async def removexattr(self, caller: Caller, ino: int, name: bytes) -> None:
        """See `FileSystem`."""
        number = self.number(ino)
        await self.volume.removexattr(number, name, self.identities.claim(caller))
        self.unlearn(number)

    # --- directories

    def opendir(self, caller: Caller, ino: int, flags: int) -> Opened:  # noqa: ARG002
        """See `FileSystem`."""
        return Opened(self.directories.open(self.number(ino)))

    async def readdir(self, caller: Caller, ino: int, fh: int, offset: int, *, plus: bool) -> Iterator[DirectoryEntry]:
        """See `FileSystem`."""
        number = self.number(ino)
        up = abi.ROOT_ID
        if offset < 2:
            up = self.ino((await self.inode(ino)).parent or number)
        rows, when = await self.directories.rows(fh, number, max(offset - 2, 0), self.identities.claim(caller))
        return self._rows(ino, up, rows, when, offset, plus=plus)

    def _rows(
        self, ino: int, up: int, rows: list[api.Row], when: float, offset: int, *, plus: bool
    ) -> Iterator[DirectoryEntry]:
        if offset < 1:
            yield DirectoryEntry(b".", ino, stat.S_IFDIR, 1)
        if offset < 2:
            yield DirectoryEntry(b"..", up, stat.S_IFDIR, 2)
        for row in rows:
            inode = row.inode
            entry = self.listed(inode, when) if plus else None
            yield DirectoryEntry(row.name, self.ino(inode.id), inode.mode, row.cookie + 2, entry)

    def releasedir(self, caller: Caller, ino: int, fh: int) -> None:  # noqa: ARG002
        """See `FileSystem`."""
        self.directories.close(fh)


def _time(value: int | None) -> int | None:
    return api.NOW if value == fuse.NOW else value


def access_of(flags: int) -> api.Access:
    """What open(2) with *flags* is to allow."""
    kind = flags & os.O_ACCMODE
    if kind == os.O_RDONLY:
        return api.Access.READ
    return api.Access.WRITE if kind == os.O_WRONLY else api.Access.READ | api.Access.WRITE
