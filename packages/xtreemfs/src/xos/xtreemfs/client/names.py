# SPDX-License-Identifier: BSD-3-Clause
"""A volume's MRC as a program sees it: calls that are repeated until they are answered, names, attributes, locks."""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import TypeVar

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, NotConnected, UnknownService
from xos.xtreemfs.api import Ask, Claim, Inode, Lock, Session, Space
from xos.xtreemfs.client.patience import AWAY, CALL_SECONDS, persist
from xos.xtreemfs.client.serving import Serving
from xos.xtreemfs.errors import NotServing, Refused
from xos.xtreemfs.xati import MRCAsync

log = get_logger("xos.xtreemfs.client")

MOST_LINKS = 40
"""As Linux follows (path_resolution(7))."""

_T = TypeVar("_T")


class Names(ABC):
    """Within one session. Raises `OSError` with the errno that Linux has for what may not be done."""

    session: Session
    root: int
    """Inode of the root directory."""

    def __init__(self, name: str, patience: float) -> None:
        self.name, self.patience = name, patience
        self.serving: Serving
        self.mrc: MRCAsync
        self._number = self._ahead = 0

    @abstractmethod
    def seen(self, inode: Inode) -> Inode:
        """As programs here are to see it."""

    @abstractmethod
    async def _revived(self) -> bool:
        """Whether there is a session anew, because the MRC knew the old one no more."""

    def now(self) -> int:
        """Unix nanoseconds, about as the MRC has them."""
        return time.time_ns() + self._ahead

    def _take(self, session: Session) -> None:
        self.session = session
        self.root = session.root.id
        self._ahead = session.now - time.time_ns()

    def _away(self, error: XosError) -> None:
        if isinstance(error, NotConnected | ConnectionLost | UnknownService | DeadlineExceeded | NotServing):
            self.serving.away()

    # --- calls

    def ask(self, claim: Claim | None = None) -> Ask:
        """What goes with a call that changes something."""
        self._number += 1
        return Ask(self.session.id, self._number, claim)

    async def call(self, do: Callable[[MRCAsync], Awaitable[_T]]) -> _T:
        """The MRC's answer, however often it must be asked. Raises `OSError`."""
        try:
            return await do(self.mrc)
        except Refused as error:
            number = error.data.get("errno")
            if number == errno.ESTALE and await self._revived():
                return await self._again(do)
            raise OSError(number if isinstance(number, int) else errno.EIO, str(error)) from error
        except AWAY as error:
            self._away(error)
            return await self._again(do)
        except XosError as error:
            log.warning("client.failed", volume=self.name, detail=str(error))
            raise OSError(errno.EIO, str(error)) from error

    async def _again(self, do: Callable[[MRCAsync], Awaitable[_T]]) -> _T:
        try:
            return await persist(lambda: do(self.mrc), seconds=self.patience, on_away=self._away)
        except Refused as error:
            number = error.data.get("errno")
            raise OSError(number if isinstance(number, int) else errno.EIO, str(error)) from error
        except XosError as error:
            log.warning("client.gave-up", volume=self.name, detail=str(error))
            raise OSError(errno.EIO, str(error)) from error

    async def change(self, claim: Claim | None, do: Callable[[MRCAsync, Ask], Awaitable[_T]]) -> _T:
        """As `call`, for what changes something: the same `Ask` each time, so that it is done once."""
        ask = self.ask(claim)

        async def once(mrc: MRCAsync) -> _T:
            # A session that was begun anew does not know the number: whether it was done under the old one, nobody can
            # tell any more.
            return await do(mrc, ask if ask.session == self.session.id else Ask(self.session.id, ask.number, claim))

        return await self.call(once)

    # --- names and attributes

    async def resolve(self, path: str, claim: Claim | None = None) -> Inode:
        """The inode at *path* (see `os.fsdecode`), not following a link at its end.

        Where the path is no UTF-8, links on the way are not followed either.
        """
        if _is_utf8(path):
            return self.seen(
                await self.call(lambda mrc: mrc.resolve(self.name, path, claim, self.session.id, deadline=CALL_SECONDS))
            )
        inode = await self.resolve("/", claim)
        for part in os.fsencode(path).split(b"/"):
            inode = await self.lookup(inode.id, part, claim) if part else inode
        return inode

    async def follow(self, path: str, claim: Claim | None = None) -> Inode:
        """The inode at *path*, of what a link at its end leads to. The volume's root is above itself."""
        where = PurePosixPath("/", path)
        for _ in range(MOST_LINKS):
            inode = await self.resolve(str(where), claim)
            if inode.target is None:
                return inode
            where = PurePosixPath(os.path.normpath(where.parent / os.fsdecode(inode.target)))
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    async def lookup(self, parent: int, name: bytes, claim: Claim | None = None) -> Inode:
        """The inode called *name*."""
        return self.seen(
            await self.call(lambda mrc: mrc.lookup(parent, name, claim, self.session.id, deadline=CALL_SECONDS))
        )

    async def create(
        self, parent: int, name: bytes, mode: int, rdev: int, target: bytes | None, claim: Claim | None = None
    ) -> Inode:
        """A new inode of the type in *mode*."""
        return await self.change(
            claim, lambda mrc, ask: mrc.create(parent, name, mode, rdev, target, ask, deadline=CALL_SECONDS)
        )

    async def link(self, inode: int, parent: int, name: bytes, claim: Claim | None = None) -> Inode:
        """A further name."""
        return self.seen(
            await self.change(claim, lambda mrc, ask: mrc.link(inode, parent, name, ask, deadline=CALL_SECONDS))
        )

    async def unlink(self, parent: int, name: bytes, claim: Claim | None = None) -> Inode:
        """Take a name away."""
        return await self.change(claim, lambda mrc, ask: mrc.unlink(parent, name, ask, deadline=CALL_SECONDS))

    async def rmdir(self, parent: int, name: bytes, claim: Claim | None = None) -> None:
        """Remove an empty directory."""
        await self.change(claim, lambda mrc, ask: mrc.rmdir(parent, name, ask, deadline=CALL_SECONDS))

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int = 0, claim: Claim | None = None
    ) -> Inode | None:
        """renameat2(2); the inode that lost a name by it."""
        return await self.change(
            claim,
            lambda mrc, ask: mrc.rename(parent, name, new_parent, new_name, flags, ask, deadline=CALL_SECONDS),
        )

    async def getattr(self, inode: int) -> Inode:
        """The attributes."""
        return self.seen(await self.call(lambda mrc: mrc.getattr(inode, self.session.id, deadline=CALL_SECONDS)))

    async def space(self) -> Space:
        """For statfs(2)."""
        return await self.call(lambda mrc: mrc.space(self.name, deadline=CALL_SECONDS))

    async def getxattr(self, inode: int, name: bytes, claim: Claim | None = None) -> bytes:
        """The value."""
        return await self.call(lambda mrc: mrc.getxattr(inode, name, claim, deadline=CALL_SECONDS))

    async def listxattr(self, inode: int, claim: Claim | None = None) -> list[bytes]:
        """The names."""
        return await self.call(lambda mrc: mrc.listxattr(inode, claim, deadline=CALL_SECONDS))

    async def setxattr(self, inode: int, name: bytes, value: bytes, flags: int, claim: Claim | None = None) -> None:
        """Set one."""
        await self.change(claim, lambda mrc, ask: mrc.setxattr(inode, name, value, flags, ask, deadline=CALL_SECONDS))

    async def removexattr(self, inode: int, name: bytes, claim: Claim | None = None) -> None:
        """Remove one."""
        await self.change(claim, lambda mrc, ask: mrc.removexattr(inode, name, ask, deadline=CALL_SECONDS))

    async def sync(self) -> None:
        """All that the MRC has acknowledged survives a power cut when this returns."""
        await self.call(lambda mrc: mrc.sync(deadline=CALL_SECONDS))

    # --- locks

    async def lock(self, lock: Lock, *, wait: bool, claim: Claim | None = None) -> None:
        """Take a lock; *wait*: until it is free."""
        await self.change(claim, lambda mrc, ask: mrc.lock(lock, wait, ask, deadline=None if wait else CALL_SECONDS))

    async def unlock(self, lock: Lock) -> None:
        """Give bytes of locks back."""
        await self.change(None, lambda mrc, ask: mrc.unlock(lock, ask, deadline=CALL_SECONDS))

    async def test_lock(self, lock: Lock) -> Lock | None:
        """A lock that is in the way."""
        return await self.call(lambda mrc: mrc.test_lock(lock, self.session.id, deadline=CALL_SECONDS))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
