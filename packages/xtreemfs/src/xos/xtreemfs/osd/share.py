# SPDX-License-Identifier: BSD-3-Clause
"""One file's share on this OSD: its bytes, its checksums, and what of both survives a power cut.

Sums are kept in step with every write. After a crash the two may differ where neither was synced; so a share is marked
DIRTY on disk before bytes that were synced are changed, and one that is found DIRTY is summed anew before anything else
is done with it. So are the blocks of a write that failed in the middle. A difference in any other case is damage.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from xos.common.files import sync_directory
from xos.xtreemfs.errors import CorruptShare, OsdFull, ShareTooLarge
from xos.xtreemfs.osd.checksums import BLOCK, HEAD, MAGIC, SUM, Span, State, blocks, place_of, sum_of, whole

MOST_BYTES = 1 << 44
"""16 TiB: what ext4 holds in one file."""
_ALL = range(0)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Share:
    """For threads; each call holds the share alone."""

    def __init__(self, file_id: str, data: Path, sums: Path, *, create: bool) -> None:
        """Raises `FileNotFoundError` unless *create*, `OSError`."""
        self.file_id = file_id
        self._lock = threading.Lock()
        self._place = data.parent
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._data = os.open(data, flags | os.O_CREAT if create else flags, 0o600)
        try:
            # After the data: a crash between the two leaves a share without sums, which is DIRTY.
            self._sums = os.open(sums, flags | os.O_CREAT, 0o600)
        except BaseException:
            os.close(self._data)
            raise
        self._size = os.fstat(self._data).st_size
        self._named = False
        """Whether the directory has been synced since the files were made or opened."""
        self._state = self._read_state()
        self._suspect: range | None = _ALL if self._state is State.DIRTY and self._size else None
        """Blocks whose sums may be wrong through no damage."""

    def close(self) -> None:
        """Give the descriptors back; nothing is synced."""
        with self._lock:
            os.close(self._sums)
            os.close(self._data)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """At most *length* bytes, fewer at the end. Raises `CorruptShare`, `ShareTooLarge`, `OSError`."""
        self._check_reach(offset, length)
        with self._lock:
            self._settle()
            end = min(offset + length, self._size)
            if offset >= end:
                return b""
            first = offset - offset % BLOCK
            last = whole((end - 1) // BLOCK, self._size).end
            content = memoryview(self._pread(first, last - first))
            sums = self._read_sums(first // BLOCK, -(-(last - first) // BLOCK))
            for number, span in enumerate(blocks(first, last - first)):
                if sum_of(content[span.start - first : span.end - first]) != sums[number]:
                    raise CorruptShare(file_id=self.file_id, start=span.start, end=span.end)
            return bytes(content[offset - first : end - first])

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Write; not durable before `sync`. Raises `CorruptShare`, `OsdFull`, `ShareTooLarge`, `OSError`."""
        content = memoryview(content)
        length = len(content)
        self._check_reach(offset, length)
        if length == 0:
            return
        with self._lock:
            self._settle()
            self._mark_dirty()
            if offset > self._size:
                self._changing(_ALL, lambda: self._grow(offset))
            touched = range(offset // BLOCK, (offset + length - 1) // BLOCK + 1)
            self._changing(touched, lambda: self._put(offset, content))

    def truncate(self, size: int) -> None:
        """Cut or grow to *size* bytes. As `write`."""
        self._check_reach(0, size)
        with self._lock:
            self._settle()
            if size == self._size:
                return
            self._mark_dirty()
            resize = self._grow if size > self._size else self._cut
            self._changing(_ALL, lambda: resize(size))

    def sync(self) -> None:
        """Make all of it durable. Raises `OSError`."""
        with self._lock:
            self._settle()
            if self._state is State.SYNCED:
                return
            os.fdatasync(self._data)
            os.fdatasync(self._sums)
            if not self._named:
                sync_directory(self._place)
                self._named = True
            self._write_state(State.SYNCED)
            os.fdatasync(self._sums)

    def scrub(self, index: int) -> bool:
        """Whether block *index* is as it was written; True beyond the end. Raises `OSError`."""
        with self._lock:
            self._settle()
            span = whole(index, self._size)
            if span.end <= span.start:
                return True
            return sum_of(self._pread(span.start, span.end - span.start)) == self._read_sums(index, 1)[0]

    # --- changing

    def _changing(self, suspect: range, change: Callable[[], None]) -> None:
        """Make a change; if it fails in the middle, sums of *suspect* blocks are no longer relied on."""
        try:
            change()
        except OSError as error:
            self._size = os.fstat(self._data).st_size
            self._suspect = suspect
            raise self._refusal(error) from error

    def _put(self, offset: int, content: memoryview) -> None:
        spans = list(blocks(offset, len(content)))
        sums = [self._sum_with(span, content[span.start - offset : span.end - offset]) for span in spans]
        self._pwrite(self._data, content, offset)
        self._size = max(self._size, offset + len(content))
        self._pwrite(self._sums, b"".join(map(SUM.pack, sums)), place_of(spans[0].block))

    def _sum_with(self, span: Span, new: memoryview) -> int:
        """The sum of a block once *new* is in it."""
        there = whole(span.block, self._size)
        if span.start == there.start and span.end >= there.end:
            return sum_of(new)
        old = self._checked(there)
        start = span.start - there.start
        return sum_of(b"".join((old[:start], new, old[start + len(new) :])))

    def _checked(self, span: Span) -> memoryview:
        """The content of a block, if it is as it was written."""
        if span.end <= span.start:
            return memoryview(b"")
        content = self._pread(span.start, span.end - span.start)
        if sum_of(content) != self._read_sums(span.block, 1)[0]:
            raise CorruptShare(file_id=self.file_id, start=span.start, end=span.end)
        return memoryview(content)

    def _grow(self, size: int) -> None:
        """A hole at the end. The block that was the last, and the one that is, have other lengths from now on."""
        old, last = self._size // BLOCK, size // BLOCK
        content = bytes(self._checked(whole(old, self._size)))
        os.ftruncate(self._data, size)
        self._size = size
        for index, known in {last: b"", old: content}.items():
            span = whole(index, size)
            if span.end > span.start:
                filled = known + bytes(span.end - span.start - len(known))
                self._pwrite(self._sums, SUM.pack(sum_of(filled)), place_of(index))

    def _cut(self, size: int) -> None:
        index, within = divmod(size, BLOCK)
        kept = self._checked(whole(index, self._size))[:within] if within else b""
        os.ftruncate(self._data, size)
        self._size = size
        os.ftruncate(self._sums, place_of(-(-size // BLOCK)))
        if kept:
            self._pwrite(self._sums, SUM.pack(sum_of(kept)), place_of(index))

    def _settle(self) -> None:
        """Sums from what is on disk, where they may be wrong. Raises `OSError`, and is tried again the next time."""
        if self._suspect is None:
            return
        indexes: Iterable[int] = self._suspect
        if self._suspect is _ALL:
            os.ftruncate(self._sums, min(HEAD.size, os.fstat(self._sums).st_size))
            os.ftruncate(self._sums, place_of(-(-self._size // BLOCK)))
            indexes = self._blocks_with_data()
        for index in indexes:
            span = whole(index, self._size)
            if span.end <= span.start:
                break
            content = self._pread(span.start, span.end - span.start)
            self._pwrite(self._sums, SUM.pack(sum_of(content)), place_of(index))
        self._suspect = None

    def _blocks_with_data(self) -> Iterator[int]:
        """Blocks that are no holes; and the last, whose sum is of fewer bytes than a hole's."""
        at, following = 0, 0
        while at < self._size:
            try:
                start = os.lseek(self._data, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break  # nothing but holes from here on
            at = min(os.lseek(self._data, start, os.SEEK_HOLE), self._size)
            end = -(-at // BLOCK)
            yield from range(max(following, start // BLOCK), end)
            following = end
        if self._size and following * BLOCK < self._size:
            yield (self._size - 1) // BLOCK

    def _read_sums(self, first: int, count: int) -> list[int]:
        found = os.pread(self._sums, SUM.size * count, place_of(first))
        found += bytes(SUM.size * count - len(found))
        return [value for (value,) in SUM.iter_unpack(found)]

    # --- state

    def _read_state(self) -> State:
        head = os.pread(self._sums, HEAD.size, 0)
        if len(head) < HEAD.size:
            return State.DIRTY
        magic, state, _ = HEAD.unpack(head)
        return State.SYNCED if magic == MAGIC and state == State.SYNCED else State.DIRTY

    def _write_state(self, state: State) -> None:
        self._pwrite(self._sums, HEAD.pack(MAGIC, state, 0), 0)
        self._state = state

    def _mark_dirty(self) -> None:
        """Before bytes that are synced change: on disk, so that a power cut cannot make them look damaged."""
        if self._state is State.SYNCED:
            self._write_state(State.DIRTY)
            os.fdatasync(self._sums)

    # --- bytes

    def _pread(self, offset: int, length: int) -> bytes:
        content = os.pread(self._data, length, offset)
        if len(content) != length:  # somebody has cut it
            raise CorruptShare(file_id=self.file_id, start=offset, end=offset + length)
        return content

    @staticmethod
    def _pwrite(fd: int, content: bytes | memoryview, offset: int) -> None:
        left = memoryview(content)
        while left:
            done = os.pwrite(fd, left, offset)
            left, offset = left[done:], offset + done

    @staticmethod
    def _check_reach(offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > MOST_BYTES:
            raise ShareTooLarge(start=offset, end=offset + length, most=MOST_BYTES)

    @staticmethod
    def _refusal(error: OSError) -> OSError | OsdFull:
        return OsdFull(detail=error.strerror or str(error)) if error.errno in _FULL else error
