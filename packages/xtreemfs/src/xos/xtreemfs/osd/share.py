# SPDX-License-Identifier: BSD-3-Clause
"""One file's share on this OSD: its bytes, its checksums, and what of both survives a power cut.

Sums are kept in step with every write. After a crash the two may differ where neither was synced; so a share is marked
DIRTY on disk before bytes that were synced are changed, and one that is found DIRTY is summed anew before anything else
is done with it. So are the blocks of a write that failed in the middle. A difference in any other case is damage.
What is put away for lack of use is CLOSED: it fits as DIRTY does not, but only until the power goes.
"""

from __future__ import annotations

import errno
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xos.common.files import sync_directory
from xos.xtreemfs.errors import CorruptShare, OsdFull, ShareTooLarge
from xos.xtreemfs.osd.checksums import (
    BLOCK,
    HEAD,
    SUM,
    Bytes,
    Head,
    Mark,
    Span,
    Synced,
    blocks,
    extended,
    place_of,
    replaced,
    sum_of,
    whole,
)
from xos.xtreemfs.osd.cloning import cloned

MOST_BYTES = 1 << 44
"""16 TiB: what ext4 holds in one file."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ALL = range(0)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class State(NamedTuple):
    """Of a share."""

    size: int = 0
    """Bytes."""
    mark: Mark = Mark()


Admit = Callable[[Mark], Mark]
"""Looks at a share's mark while nothing else happens to it: raises, or returns the mark to be kept from now on."""


def unchanged(mark: Mark) -> Mark:
    """Admits everything."""
    return mark


class Share:
    """For threads; each call holds the share alone."""

    def __init__(self, file_id: str, data: Path, sums: Path, *, create: bool) -> None:
        """Raises `FileNotFoundError` unless *create*, `OSError`."""
        self.file_id = file_id
        self._lock = threading.Lock()
        self._place = data.parent
        self._data = _open(data, create=create)
        try:
            # After the data: a crash between the two leaves a share without sums, which is DIRTY.
            self._sums = _open(sums, create=True)
        except BaseException:
            os.close(self._data)
            raise
        self._size = os.fstat(self._data).st_size
        self._named = False
        """Whether the directory has been synced since the files were made or opened."""
        self._boot = boot_id()
        self._head = Head.unpack(os.pread(self._sums, HEAD.size, 0)).found(self._boot)
        self._suspect: range | None = _ALL if self._head.state is Synced.DIRTY and self._size else None
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

    @property
    def state(self) -> State:
        """Its size, and what is kept beside the bytes."""
        return State(self._size, self._head.mark)

    def keep(self, admit: Admit, *, durable: bool = False) -> Mark:
        """Keep another mark: it survives the end of this process; if *durable*, a power cut. Raises `OSError`."""
        with self._lock:
            mark = admit(self._head.mark)
            if mark != self._head.mark:
                self._write_head(self._head._replace(mark=mark, boot=self._boot))
            if durable:
                os.fdatasync(self._sums)
                self._name()
            return mark

    def settled(self, admit: Admit = unchanged) -> None:
        """Let sums be such that others may compare with them. Raises what *admit* raises, `OSError`."""
        with self._lock:
            admit(self._head.mark)
            self._settle()

    def sums(self, first: int, count: int) -> bytes:
        """The kept sums of *count* blocks; zero for holes and beyond the end. Raises `OSError`."""
        with self._lock:
            self._settle()
            return b"".join(map(SUM.pack, self._read_sums(first, count)))

    def read(self, offset: int, length: int, admit: Admit = unchanged) -> bytes:
        """At most *length* bytes, fewer at the end. Raises `CorruptShare`, `ShareTooLarge`, `OSError`."""
        self._check_reach(offset, length)
        with self._lock:
            admit(self._head.mark)
            self._settle()
            return self._read(offset, length)

    def read_now(self, offset: int, length: int, admit: Admit = unchanged) -> bytes | None:
        """As `read`; None where that would wait for the disk, or for another thread."""
        self._check_reach(offset, length)
        if not self._lock.acquire(blocking=False):
            return None
        try:
            admit(self._head.mark)
            return None if self._suspect is not None else self._read(offset, length, now=True)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):  # tmpfs never says
                return None
            raise
        finally:
            self._lock.release()

    def _read(self, offset: int, length: int, *, now: bool = False) -> bytes:
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        first = offset - offset % BLOCK
        last = whole((end - 1) // BLOCK, self._size).end
        found = self._pread(first, last - first, now=now)
        content = memoryview(found)
        sums = self._read_sums(first // BLOCK, -(-(last - first) // BLOCK), now=now)
        for number, span in enumerate(blocks(first, last - first)):
            if sum_of(content[span.start - first : span.end - first]) != sums[number]:
                raise CorruptShare(file_id=self.file_id, start=span.start, end=span.end)
        return found if (offset, end) == (first, last) else bytes(content[offset - first : end - first])

    def write(self, offset: int, content: Bytes, admit: Admit = unchanged) -> State:
        """Write, if *admit* lets it, and keep the mark that it returns; not durable before `sync`.

        Raises `CorruptShare`, `OsdFull`, `ShareTooLarge`, `OSError`.
        """
        return self.write_parts([(offset, content)], admit)

    def write_parts(self, parts: Sequence[tuple[int, Bytes]], admit: Admit = unchanged) -> State:
        """As `write`, of several offsets and what is to be there. When it fails, some of it may be written."""
        for offset, content in parts:
            self._check_reach(offset, len(content))
        with self._lock:
            return self._write_parts(parts, admit)

    def append_now(self, offset: int, content: Bytes, admit: Admit = unchanged) -> State | None:
        """As `write`, where nothing is read or synced for it: at the end of what was not synced since; else None."""
        self._check_reach(offset, len(content))
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._suspect is not None or offset != self._size or self._head.state is Synced.SYNCED:
                return None
            return self._write_parts([(offset, content)], admit)
        finally:
            self._lock.release()

    def _write_parts(self, parts: Sequence[tuple[int, Bytes]], admit: Admit) -> State:
        mark = admit(self._head.mark)
        self._settle()
        for offset, content in parts:
            if len(content):
                self._write(offset, memoryview(content))
        self._keep(mark)
        return State(self._size, mark)

    def truncate(self, size: int, admit: Admit = unchanged) -> State:
        """Cut or grow to *size* bytes. As `write`."""
        self._check_reach(0, size)
        with self._lock:
            mark = admit(self._head.mark)
            self._settle()
            if size != self._size:
                self._mark_dirty()
                resize = self._grow if size > self._size else self._cut
                self._changing(_ALL, lambda: resize(size))
            self._keep(mark)
            return State(self._size, mark)

    def sync(self) -> None:
        """Make all of it durable. Raises `OSError`."""
        with self._lock:
            self._settle()
            if self._head.state is Synced.SYNCED:
                return
            os.fdatasync(self._data)
            os.fdatasync(self._sums)
            self._name()
            mark = self._head.mark
            synced = self._head._replace(
                state=Synced.SYNCED, boot=self._boot, synced_term=mark.term, synced_version=mark.version
            )
            self._write_head(synced)
            os.fdatasync(self._sums)

    def put_away(self) -> None:
        """Make it so that it can be closed and opened again as it is, until a power cut. Raises `OSError`."""
        with self._lock:
            self._settle()
            if self._head.state is Synced.DIRTY:
                self._write_head(self._head._replace(state=Synced.CLOSED, boot=self._boot))

    def copy_to(self, data: Path, sums: Path) -> None:
        """The same as two other files, on disk when this returns; blocks are shared where the file system can.

        Raises `OsdFull`, `OSError`; then there is nothing.
        """
        with self._lock:
            self._settle()
            mark = self._head.mark
            head = Head(Synced.SYNCED, self._boot, mark, mark.term, mark.version)
            try:
                # The data last: a crash between the two leaves sums without a share, which nobody sees.
                cloned(self._sums, sums, head.pack())
                cloned(self._data, data, b"")
            except OSError as error:
                raise self._refusal(error) from error

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

    def _write(self, offset: int, content: memoryview) -> None:
        self._mark_dirty()
        if offset > self._size:
            self._changing(_ALL, lambda: self._grow(offset))
        touched = range(offset // BLOCK, (offset + len(content) - 1) // BLOCK + 1)
        self._changing(touched, lambda: self._put(offset, content))

    def _put(self, offset: int, content: memoryview) -> None:
        spans = list(blocks(offset, len(content)))
        sums = [self._sum_with(span, content[span.start - offset : span.end - offset]) for span in spans]
        self._pwrite(self._data, content, offset)
        self._size = max(self._size, offset + len(content))
        self._pwrite(self._sums, b"".join(map(SUM.pack, sums)), place_of(spans[0].block))

    def _sum_with(self, span: Span, new: memoryview) -> int:
        """The sum of a block once *new* is in it; of what is there only that is read which gives way."""
        there = whole(span.block, self._size)
        if span.start == there.start and span.end >= there.end:
            return sum_of(new)
        (known,) = self._read_sums(span.block, 1)
        within = min(span.end, there.end) - span.start
        if within:
            old = self._pread(span.start, within)
            known = replaced(known, there.end - span.start - within, old, new[:within])
        return extended(known, new[within:])

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

    def _read_sums(self, first: int, count: int, *, now: bool = False) -> list[int]:
        wanted = SUM.size * count
        found = _at_once(self._sums, wanted, place_of(first)) if now else os.pread(self._sums, wanted, place_of(first))
        found += bytes(wanted - len(found))
        return [value for (value,) in SUM.iter_unpack(found)]

    # --- state

    def _write_head(self, head: Head) -> None:
        self._pwrite(self._sums, head.pack(), 0)
        self._head = head

    def _keep(self, mark: Mark) -> None:
        if mark != self._head.mark:
            self._mark_dirty()
            self._write_head(self._head._replace(mark=mark))

    def _mark_dirty(self) -> None:
        """Before bytes that are synced change: on disk, so that a power cut cannot make them look damaged."""
        was = self._head
        if was.state is Synced.DIRTY and was.boot == self._boot:
            return
        self._write_head(was._replace(state=Synced.DIRTY, boot=self._boot))
        if was.state is Synced.SYNCED:
            os.fdatasync(self._sums)

    def _name(self) -> None:
        """The directory, once: a file is only there when its name is."""
        if not self._named:
            sync_directory(self._place)
            self._named = True

    # --- bytes

    def _pread(self, offset: int, length: int, *, now: bool = False) -> bytes:
        content = _at_once(self._data, length, offset) if now else os.pread(self._data, length, offset)
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


@functools.cache
def boot_id() -> bytes:
    """Of the running kernel: what was written since it began is there still, unless the power went."""
    return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))[:8]


def _open(path: Path, *, create: bool) -> int:
    """To read and write; on a disk that has become read-only, to read."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, flags | os.O_RDONLY)


def _at_once(fd: int, length: int, offset: int) -> bytes:
    """What is in memory of a file. Raises `BlockingIOError` when that is not all, `OSError` where nobody can tell."""
    content = bytearray(length)
    if os.preadv(fd, [content], offset, os.RWF_NOWAIT) != length:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return bytes(content)
