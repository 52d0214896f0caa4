# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories: who alone changes the names of one may do so in its own memory, and tells the MRC in batches.

While a session has the lease of a directory, nobody else sees or changes its names: who wants to is made to wait until
the holder has told all that it has done and has given the lease back. So what one program did, another one sees on any
node, as if each change had been a call of its own.
"""

from __future__ import annotations

import msgspec

from xos.common.signing import Signed
from xos.xtreemfs.api.files import Access, Change, Claim, Extent, Inode

HOLD_SECONDS = 3.0
"""After so long without an answer of the MRC a holder does nothing more in its own memory before it has one."""
TAKE_SECONDS = 4.5
"""The MRC takes back the lease of a session that it has not heard for so long, if somebody else wants the names."""
MOST_LEASED = 100_000
"""Names in a directory of which there is a lease."""
MOST_BATCH = 512
"""Changes of one `MRC.apply`."""
MOST_RESERVED = 256
"""Inode numbers of one `Reserve`."""


class Reserve(msgspec.Struct, array_like=True, frozen=True):
    """Inode numbers for files that a holder makes, and the right to write them at once."""

    first: int
    count: int
    capability: Signed
    """Of a `Capability` for the file `first` and the `Capability.count` - 1 that follow, to read and write, with the
    layout of all of them. The holder shows it to the MRC with what it made, so the MRC keeps nothing of it."""


class Lease(msgspec.Struct, array_like=True, frozen=True):
    """Of a directory."""

    id: int
    directory: Inode
    reserve: Reserve | None
    """None: files of this directory are made by `MRC.open_name` (a quota, several replicas, no usable OSD)."""


class Made(msgspec.Struct, array_like=True, frozen=True):
    """A regular file, made by the holder under a number of a reserve."""

    directory: int
    name: bytes
    inode: int
    mode: int
    """Permissions, umask applied. Owner, group and default ACLs follow from the claim and the directory as ever."""
    when: int
    """Unix nanoseconds: it came into being."""
    claim: Claim | None
    reserve: int
    """Which of the reserves that are shown with the batch, from 0."""
    extent: Extent | None = None
    """What was written to it by now."""
    mtime: int = 0
    """With an extent: when it was written last."""
    change: Change | None = None
    """What was changed of its attributes since, by the same claim; no size."""
    access: Access = Access(0)
    """As what it is still open; 0: it is closed."""
    ctime: int = 0
    """With a change: when that was made, after what the extent tells."""


class Gone(msgspec.Struct, array_like=True, frozen=True):
    """A name of a regular file that the holder took away."""

    directory: int
    name: bytes
    inode: int
    """ENOENT if the name is another's by now."""
    when: int
    claim: Claim | None


class Applied(msgspec.Struct, array_like=True, frozen=True):
    """One change: either of both."""

    made: Made | None = None
    gone: Gone | None = None


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What became of one change."""

    errno: int = 0
    """0: done. Else nothing of this one was done."""
    inode: Inode | None = None
    """Of what was made, as it is now; of what is gone, as it was left."""
    handle: int = 0
    """Of what is still open."""
