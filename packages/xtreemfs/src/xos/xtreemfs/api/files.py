# SPDX-License-Identifier: BSD-3-Clause
"""What all of XtreemFS speaks of: inodes, layouts, capabilities."""

from __future__ import annotations

import enum
import stat

import msgspec

from xos.xtreemfs.striping import Striping

CAPABILITY_PURPOSE = "xtreemfs-capability"
"""What an MRC's signature on a `Capability` is for (`xos.common.signing`)."""
CAPABILITY_SECONDS = 600
"""For how long a capability is good; clients renew it long before."""
LEASE_SECONDS = 60
"""For how long the MRC believes in a client that it does not hear."""
MOST_BYTES = 4 << 20
"""Of one read or write at an OSD."""


class Inode(msgspec.Struct, array_like=True, frozen=True):
    """A file, directory, link, FIFO, socket or device, as stat(2) tells it. Times are Unix nanoseconds."""

    id: int
    mode: int
    nlink: int
    owner: str
    """``alice@demo``."""
    group: str
    """``users@demo``."""
    size: int
    atime: int
    mtime: int
    ctime: int
    rdev: int
    parent: int = 0
    """Of a directory: where ".." leads; of the root: itself."""
    target: bytes | None = None
    epoch: int = 0
    """Of the content: grows with each truncation. What an `Extent` of an older one says counts no more."""
    acl: str = ""
    """What a POSIX access ACL says beyond the mode: ``group::r--,user:alice@demo:r--``; the group bits mask it."""
    default_acl: str = ""
    """Of a directory: the whole ACL that what is made in it begins with, which takes the place of the umask."""
    origin: int = 0
    """In a snapshot: the inode that this is a copy of; nothing about it can be changed."""

    @property
    def is_directory(self) -> bool:
        """Whether it holds names."""
        return stat.S_ISDIR(self.mode)


class Claim(msgspec.Struct, array_like=True, frozen=True):
    """For whom a machine asks. Users ask for themselves, as their certificate says, and send none."""

    user: str
    """``alice@demo``; of the machine's own accounts ``uid.1000@node1``, of its root ``root@node1``."""
    groups: tuple[str, ...] = ()
    """``users@demo``, and ``~alice@demo``, which she has to herself: all of them, the primary one too."""
    group: str = ""
    """The primary one, which new files get."""


class Change(msgspec.Struct, array_like=True, frozen=True):
    """What setattr is to change; None: not that. `NOW` stands for the time at the MRC."""

    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None


NOW = -(1 << 63)
"""As a time in `Change`."""


class Row(msgspec.Struct, array_like=True, frozen=True):
    """An entry of a directory."""

    cookie: int
    """From where to go on after it."""
    name: bytes
    inode: Inode


class Access(enum.IntFlag):
    """What a capability allows."""

    READ = 1
    WRITE = 2
    """And to change the size."""


class Update(enum.StrEnum):
    """How the replicas of a file are kept the same."""

    NONE = "none"
    """There is one replica."""
    READ_ONLY = "ronly"
    """The file does not change any more; replicas fill themselves, wholly or where they are read."""
    QUORUM = "wqrq"
    """A write is acknowledged when most replicas have it, a read asks a primary that knows the newest."""
    ALL = "wara"
    """A write is acknowledged when all replicas have it (those that are unreachable are taken out first)."""


class Replica(msgspec.Struct, array_like=True, frozen=True):
    """One whole copy of a file, striped over a row of OSDs."""

    osds: tuple[str, ...]
    """Node names; object n lies on the one at place n mod width."""
    complete: bool = True
    """Whether it holds everything; else it fetches from a complete one what it is asked for."""
    stores: tuple[str, ...] = ()
    """Of each OSD, the id of the disk that it was placed on; none: not known."""


class Wish(msgspec.Struct, array_like=True, frozen=True):
    """How a file's replicas are to be."""

    replicas: int
    update: Update


class Layout(msgspec.Struct, array_like=True, frozen=True):
    """Where a file's bytes are."""

    striping: Striping
    replicas: tuple[Replica, ...]
    """None: nothing was written yet, all bytes are 0."""
    update: Update = Update.NONE
    version: int = 0
    """Grows with each change of the replicas; OSDs refuse capabilities of an older one (the original's XLocSet)."""
    primary: int = 0
    """Index of the replica that orders the writes."""
    primary_until: int = 0
    """Unix nanoseconds by the MRC's clock until which it is that; 0: no lease is to be kept."""
    term: int = 0
    """Fencing token: grows each time another replica becomes primary; OSDs refuse writes of an older one."""
    wish: Wish | None = None
    """What the replicas are on their way to; None: they are as they are to be."""
    least: int = 0
    """The replicas that are to be there; those behind were made near readers, and go when nobody reads them. 0: all."""


class Capability(msgspec.Struct, array_like=True, frozen=True):
    """What may be done to one file until when. Msgpack of this is the payload of the `Signed` that a client presents.

    It is good only in the hands of its holder: an OSD compares `holder` with whom TLS says is calling.
    """

    file_id: str
    """At OSDs: the volume's id, a dash, the inode's number in hex; 1 to 64 of small letters, digits, dashes."""
    access: Access
    holder: str
    """``str(Identity)`` of the machine or user whose connection this is for."""
    expires: int
    """Unix seconds."""
    epoch: int
    """Grows with each truncation; an OSD that knows a later one refuses this."""
    layout: Layout
    room: int = -1
    """Bytes by which the file may still grow under the quota (the original's space voucher); -1: no limit."""
    revision: int = 0
    """Grows with each revocation (rights taken away); an OSD that was told of a later one refuses this."""
    snapshot: int = 0
    """`Volume.number` as it was signed: the OSD keeps what snapshots up to it are to show before a write changes that,
    and lets nobody write by an older one."""
    origin: str = ""
    """Of a file in a snapshot: the file that it is a copy of, as it was when snapshot `snapshot` was made."""
    count: int = 1
    """It is for so many files, of inode numbers that follow one another; `file_id` names the first. Epoch and revision
    are those of all of them: an OSD that knows a later one of one file refuses it for that one. Calls name one of them
    by `api.osd.token_in`. Such files have one replica and no `origin`."""


class Extent(msgspec.Struct, array_like=True, frozen=True):
    """How long a file is, as seen by who wrote it: the later `epoch` counts, then the larger `size`."""

    size: int
    epoch: int
