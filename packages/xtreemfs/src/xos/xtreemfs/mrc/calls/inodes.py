# SPDX-License-Identifier: BSD-3-Clause
"""Inodes: attributes, extended attributes, access control lists, policies of directories."""

from __future__ import annotations

import errno

import msgspec
import sqlalchemy as sa

from xos.xtreemfs.api import Ask, Change, Claim, Inode, Policy
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import contents, listing, namespace, placement, rows, xattrs
from xos.xtreemfs.mrc.access import denied, owns
from xos.xtreemfs.mrc.calls.base import Calls, node, shown
from xos.xtreemfs.mrc.values import Refusal, Result, Who


class InodeCalls(Calls):
    """See `MRC`."""

    async def getattr(self, inode: int, session: str = "") -> Inode:
        """See `MRC.getattr`."""

        def look(db: sa.Connection) -> Result[Inode]:
            leases = self.desk.leases
            blocking = leases.blocking(session, (inode,))
            found = None if blocking else rows.inode(db, inode)
            if found is None and not session:  # it may be one that a holder has made and not told of
                blocking = blocking or leases.everywhere()
            return found or Refusal(errno.EAGAIN if blocking else errno.ESTALE, blocking)

        await self.settling.settle([inode], session)
        return await self.desk.read(f"inode {inode}", look)

    async def setattr(self, inode: int, change: Change, ask: Ask) -> Inode:
        """See `MRC.setattr`."""
        what = f"inode {inode}"
        if change.size is not None:
            raise Refused.of(errno.EINVAL, what)

        def set_(db: sa.Connection, who: Who, now: int) -> Result[Inode]:
            before = namespace.getattr_(db, inode)
            after = namespace.setattr_(db, who, inode, change, now)
            if isinstance(before, Inode) and isinstance(after, Inode) and contents.takes_away(before, after):
                contents.revoke(db, inode)
            return after

        await self.settling.settle([inode], ask.session)
        changed = await self._change(ask, Inode, what, set_, node(inode), files=(inode,))
        if change.mode is not None or change.owner is not None or change.group is not None:
            self.chores.look()
        return changed

    async def getxattr(self, inode: int, name: bytes, claim: Claim | None = None) -> bytes:
        """See `MRC.getxattr`."""
        if name in listing.NAMES:
            return await self.desk.read(shown(name), lambda db: listing.get(db, inode, name))
        return await self._read(shown(name), claim, lambda db, who: xattrs.get(db, who, inode, name))

    async def listxattr(self, inode: int, claim: Claim | None = None) -> list[bytes]:
        """See `MRC.listxattr`."""

        def names(db: sa.Connection, who: Who) -> Result[list[bytes]]:
            found, at = xattrs.names(db, who, inode), rows.inode(db, inode)
            return found if isinstance(found, Refusal) or at is None else listing.names(at) + found

        return await self._read(f"inode {inode}", claim, names)

    async def setxattr(self, inode: int, name: bytes, value: bytes, flags: int, ask: Ask) -> None:
        """See `MRC.setxattr`."""

        def put(db: sa.Connection, who: Who, now: int) -> Result[None]:
            if name not in listing.NAMES:
                return xattrs.put(db, who, inode, name, value, flags, now)
            before = rows.inode(db, inode)
            return _listed(db, inode, listing.put(db, who, inode, name, value, flags, now), before)

        await self._change(ask, None, shown(name), put, node(inode), files=(inode,))
        self._after_listing(name)

    async def removexattr(self, inode: int, name: bytes, ask: Ask) -> None:
        """See `MRC.removexattr`."""

        def remove(db: sa.Connection, who: Who, now: int) -> Result[None]:
            if name not in listing.NAMES:
                return xattrs.remove(db, who, inode, name, now)
            before = rows.inode(db, inode)
            return _listed(db, inode, listing.remove(db, who, inode, name, now), before)

        await self._change(ask, None, shown(name), remove, node(inode), files=(inode,))
        self._after_listing(name)

    def _after_listing(self, name: bytes) -> None:
        if name == listing.ACCESS:
            self.chores.look()

    async def set_policy(self, inode: int, policy: Policy, ask: Ask) -> None:
        """See `MRC.set_policy`."""
        what = f"policy of {inode}"
        check_policy(policy, what)

        def set_(db: sa.Connection, who: Who, now: int) -> Result[None]:
            directory = rows.inode(db, inode)
            if directory is None:
                return Refusal(errno.ESTALE)
            if not directory.is_directory:
                return Refusal(errno.ENOTDIR)
            if directory.origin:
                return denied(directory)
            if not owns(directory, who):
                return Refusal(errno.EPERM)
            rows.update_inode(db, inode, policy=msgspec.msgpack.encode(policy), ctime=now)
            return None

        await self._change(ask, None, what, set_, node(inode), names=(inode,))


def check_policy(policy: Policy, what: str) -> None:
    """Raises `Refused` (EINVAL) for what cannot be."""
    fits = placement.is_known(policy.osd_selection) and 1 <= policy.replicas <= placement.MOST_REPLICAS
    if not fits or len(msgspec.msgpack.encode(policy)) > placement.MOST_POLICY:
        raise Refused.of(errno.EINVAL, what)


def _listed(db: sa.Connection, inode: int, result: Result[Inode], before: Inode | None) -> Result[None]:
    if isinstance(result, Refusal):
        return result
    if before is not None and contents.takes_away(before, result):
        contents.revoke(db, inode)
    return None
