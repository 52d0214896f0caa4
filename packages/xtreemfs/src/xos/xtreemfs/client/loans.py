# SPDX-License-Identifier: BSD-3-Clause
"""Shares that OSDs of this machine lend: read from their files, without a call.

Each block is compared with its sum as the OSD does it, and the mark beside the sums is looked at after the bytes were
read: a capability that a truncation, revocation or another layout has made too old reads nothing. Whatever does not
fit (somebody writes just now; a file was replaced; there is damage; the share is shorter than it should be) is asked of
the OSD, which knows.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
import weakref
from typing import NamedTuple

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.errors import UnknownMethod
from xos.xtreemfs.api import LOAN_SECONDS, Capability, Loan, Update
from xos.xtreemfs.client.grants import Grant, Right
from xos.xtreemfs.client.runs import Bytes
from xos.xtreemfs.errors import BadCapability, Elsewhere
from xos.xtreemfs.osd.checksums import BLOCK, HEAD, MAGIC, SUM, Head, place_of, sum_of
from xos.xtreemfs.osd.fences import check
from xos.xtreemfs.osd.share import boot_id
from xos.xtreemfs.xati import OSDAsync

log = get_logger("xos.xtreemfs.client")

MOST_LENT = 1 << 20
"""Bytes of one read from a share."""
WORTH_BYTES, WORTH_READS = 1 << 20, 4
"""A file that is shorter, and was read less often, is not worth asking for."""
MOST_SHARES = 200
"""Open at a time: two descriptors each, of the 1,024 that a process has."""
AHEAD = 8 << 20
"""Bytes by which the disk is ahead of who reads one after the other."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Neighbours:
    """Of one client that may open the files of OSDs (root's): those of its machine, as far as it is known."""

    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        """Nodes that lend nothing here."""
        self.buffer = memoryview(bytearray(MOST_LENT + 2 * BLOCK))
        """What `Borrowed.at_hand` reads into."""
        self.shares: weakref.WeakSet[Borrowed] = weakref.WeakSet()
        """Those that are open."""


class NotAtHand(Exception):
    """Raised when a share cannot be read here and now, whatever the reason."""


class Borrowed:
    """The files of a share, open. They are closed when nobody reads from them any more."""

    def __init__(self, loan: Loan, capability: Capability) -> None:
        """Raises `OSError`, also when the files are not those of the loan."""
        self._capability = capability
        self._data = self._sums = -1
        self._head = b""
        """As it was when it was looked at last."""
        self._following = self._told = 0
        """Where the last read ended; up to where the disk was told of what comes."""
        self._cold = False
        """Whether it was not in the page cache."""
        self._data = os.open(loan.data, _FLAGS)
        self._sums = os.open(loan.sums, _FLAGS)
        data, sums = os.fstat(self._data), os.fstat(self._sums)
        same = (data.st_dev, data.st_ino, sums.st_dev, sums.st_ino) == (
            loan.device, loan.data_inode, loan.device, loan.sums_inode,
        )  # fmt: skip
        plain = stat.S_ISREG(data.st_mode) and stat.S_ISREG(sums.st_mode)
        # Of one owner: an OSD that is not root cannot make root's files look like a share.
        if not same or not plain or data.st_uid != sums.st_uid or os.pread(self._sums, len(MAGIC), 0) != MAGIC:
            raise FileNotFoundError(loan.data)
        self._loan = loan

    def __del__(self) -> None:
        for fd in (self._data, self._sums):
            if fd >= 0:
                os.close(fd)

    def is_of(self, loan: Loan, capability: Capability) -> bool:
        """Whether nothing need be opened for it."""
        return self._loan == loan and self._capability is capability

    def at_hand(self, offset: int, length: int, buffer: memoryview) -> memoryview:
        """What the page cache has of it, in *buffer*, which is larger by two blocks. Raises `NotAtHand`."""
        first, last = self._blocks(offset, length)
        try:
            got = os.preadv(self._data, [buffer[: last - first]], first, os.RWF_NOWAIT)
        except OSError as error:  # EAGAIN: it has to come from the disk; EOPNOTSUPP: that cannot be known here
            self._cold = True
            raise NotAtHand from error
        self._cold |= got < last - first
        return self._checked(offset, length, first, buffer[:got], last)

    def read(self, offset: int, length: int) -> memoryview:
        """From the disk; for a thread. Raises `NotAtHand`."""
        first, last = self._blocks(offset, length)
        try:
            found = os.pread(self._data, last - first, first)
        except OSError as error:
            raise NotAtHand from error
        return self._checked(offset, length, first, memoryview(found), last)

    def ahead(self, offset: int, length: int) -> range | None:
        """What the disk should fetch meanwhile, if it is slower than who reads one after the other."""
        end, follows = offset + length, abs(offset - self._following) <= 2 * MOST_LENT
        self._following = end
        if not (self._cold and follows):
            self._told = 0
        elif self._told - end <= AHEAD // 2:
            start, self._told = max(self._told, end), end + AHEAD
            return range(start, self._told)
        return None

    def fetch(self, what: range) -> None:
        """Let the disk read *what*; for a thread."""
        os.posix_fadvise(self._data, what.start, len(what), os.POSIX_FADV_WILLNEED)

    def _blocks(self, offset: int, length: int) -> tuple[int, int]:
        """Where the blocks begin and end that it touches. Raises `NotAtHand`."""
        size = os.fstat(self._data).st_size
        if offset + length > size or length > MOST_LENT:
            raise NotAtHand
        end = offset + length
        return offset - offset % BLOCK, min(end + -end % BLOCK, size)

    def _checked(self, offset: int, length: int, first: int, content: memoryview, last: int) -> memoryview:
        if len(content) != last - first:
            raise NotAtHand
        index, count = first // BLOCK, -(-len(content) // BLOCK)
        # Sums after the bytes, the mark after both: a change that came between shows in what is read later.
        sums = os.pread(self._sums, SUM.size * count, place_of(index))
        sums += bytes(SUM.size * count - len(sums))
        at = 0
        for (known,) in SUM.iter_unpack(sums):
            if sum_of(content[at : at + BLOCK]) != known:
                raise NotAtHand
            at += BLOCK
        self._check_mark()
        return content[offset - first : offset - first + length]

    def _check_mark(self) -> None:
        head = os.pread(self._sums, HEAD.size, 0)
        if len(head) < HEAD.size or not head.startswith(MAGIC):
            raise NotAtHand
        if head != self._head:
            try:
                check(self._capability, Head.unpack(head).mark)
            except BadCapability as error:
                raise NotAtHand from error
            self._head = head


class _Kept(NamedTuple):
    """What was answered last, and until when it counts."""

    share: Borrowed | None
    capability: Capability
    until: float
    """`time.monotonic`."""


class Loans:
    """Of one file: a share for each place of the row, as far as they are lent."""

    def __init__(self, neighbours: Neighbours | None) -> None:
        self._neighbours = neighbours
        self._kept: dict[int, _Kept] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._reads = 0

    def end(self) -> None:
        """Borrow nothing any more."""
        self._kept.clear()

    def at_hand(self, grant: Grant, place: int, offset: int, length: int) -> memoryview:
        """Bytes of a share that is lent and in the page cache; good until the next are read. Raises `NotAtHand`."""
        kept = self._last(grant, place)
        if kept is None or kept.share is None or self._neighbours is None:
            raise NotAtHand
        found = kept.share.at_hand(offset, length, self._neighbours.buffer)
        self._read_ahead(kept.share, offset, length)
        return found

    async def read(self, grant: Grant, place: int, offset: int, length: int, size: int) -> Bytes:
        """Bytes of a share of a file of *size* bytes, once the OSD has lent it.

        Raises `NotAtHand`: they are to be had by a call, if at all.
        """
        self._reads += 1
        worth = size >= WORTH_BYTES or self._reads >= WORTH_READS
        share = await self._share(grant, place) if worth else None
        if share is None or self._neighbours is None:
            raise NotAtHand
        try:
            found: Bytes = bytes(share.at_hand(offset, length, self._neighbours.buffer))
        except NotAtHand:
            found = await asyncio.to_thread(share.read, offset, length)
        self._read_ahead(share, offset, length)
        return found

    def _last(self, grant: Grant, place: int) -> _Kept | None:
        """What was answered to the same capability, as long as it counts."""
        kept = self._kept.get(place)
        counts = kept is not None and kept.capability is grant.capability and time.monotonic() < kept.until
        return kept if counts else None

    async def _share(self, grant: Grant, place: int) -> Borrowed | None:
        if self._neighbours is None or not _is_lent(grant.capability):
            return None
        kept = self._last(grant, place)
        if kept is None and grant.reads_at(place) not in self._neighbours.elsewhere:
            task = self._asking.get(place)
            if task is None:
                task = self._asking[place] = asyncio.get_running_loop().create_task(self._ask(grant, place))
                task.add_done_callback(lambda _: self._asking.pop(place, None))
            await asyncio.wait([task])
            kept = self._last(grant, place)
        return None if kept is None else kept.share

    async def _ask(self, grant: Grant, place: int) -> None:
        """Does not fail: what is not lent is read by calls, which tell why that does not go either."""
        until, capability, node = time.monotonic() + LOAN_SECONDS, grant.capability, grant.reads_at(place)
        share: Borrowed | None = None
        try:
            loan = await grant.borrow(place, _lend)
            before = self._kept.get(place)
            if before is not None and before.share is not None and before.share.is_of(loan, capability):
                share = before.share
            elif self._neighbours is not None and len(self._neighbours.shares) < MOST_SHARES:
                share = await asyncio.to_thread(Borrowed, loan, capability)
                self._neighbours.shares.add(share)
        except (Elsewhere, UnknownMethod) as error:
            log.info("client.elsewhere", node=node, detail=str(error))
            if self._neighbours is not None:
                self._neighbours.elsewhere.add(node)
        except OSError as error:
            log.warning("client.not-opened", node=node, file=capability.file_id, detail=str(error))
            self._neighbours = None  # of this file: reads go by calls from now on
        except XosError as error:
            until = time.monotonic() + LOAN_SECONDS  # an OSD that is slow is not asked twice for each read
            log.debug("client.not-lent", node=node, file=capability.file_id, code=error.code)
        self._kept[place] = _Kept(share, capability, until)

    @staticmethod
    def _read_ahead(share: Borrowed, offset: int, length: int) -> None:
        what = share.ahead(offset, length)
        if what is not None:
            asyncio.get_running_loop().run_in_executor(None, share.fetch, what)


async def _lend(osd: OSDAsync, right: Right, deadline: float) -> Loan:
    return await osd.lend(right.token, boot_id(), right.shown, deadline=min(deadline, LOAN_SECONDS))


def _is_lent(capability: Capability) -> bool:
    """Whether an OSD may lend what it has of a file."""
    layout = capability.layout
    return not capability.origin and (len(layout.replicas) == 1 or layout.update is Update.READ_ONLY)
