# SPDX-License-Identifier: BSD-3-Clause
"""Making one replica like another: only blocks whose kept sums differ are copied.

Two blocks that differ and have the same sum are taken for equal: one in four thousand million, as for any damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xos.xtreemfs.osd.checksums import BLOCK, SUM
from xos.xtreemfs.osd.disk import Disk
from xos.xtreemfs.osd.peers import Peer, Source
from xos.xtreemfs.osd.share import Admit, unchanged

MOST_SUMS = 16_384
"""Asked for at once: of 1 GiB."""
MOST_BLOCKS = 16
"""Copied at once."""


async def differing(file_id: str, disk: Disk, peer: Peer | Source, size: int) -> set[int]:
    """The blocks of the first *size* bytes whose sums here and there differ."""
    found: set[int] = set()
    blocks = -(-size // BLOCK)
    for first in range(0, blocks, MOST_SUMS):
        count = min(MOST_SUMS, blocks - first)
        ours, theirs = await disk.sums(file_id, first, count), await peer.sums(first, count)
        if ours != theirs:
            found.update(
                first + at // SUM.size
                for at in range(0, len(ours), SUM.size)
                if ours[at : at + SUM.size] != theirs[at : at + SUM.size]
            )
    return found


async def push(file_id: str, disk: Disk, peer: Peer, blocks: Iterable[int], snapshot: int) -> None:
    """Give *peer* these blocks as they are here, where they were written by *snapshot* last."""
    for first, count in runs(blocks):
        content = await disk.read(file_id, first * BLOCK, count * BLOCK, unchanged)
        if content:
            await peer.patch(first * BLOCK, content, snapshot)


async def pull(file_id: str, disk: Disk, peer: Peer, size: int, admit: Admit) -> None:
    """Take over the first *size* bytes of *peer*, where they differ."""
    for first, count in runs(await differing(file_id, disk, peer, size)):
        start = first * BLOCK
        content = await peer.fetch(start, min(count * BLOCK, size - start))
        await disk.write(file_id, start, content, admit)


def runs(blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbours together: the first of a run, and how many there are, at most `MOST_BLOCKS`."""
    first = count = 0
    for block in sorted(blocks):
        if count and block == first + count and count < MOST_BLOCKS:
            count += 1
            continue
        if count:
            yield first, count
        first, count = block, 1
    if count:
        yield first, count
