# SPDX-License-Identifier: BSD-3-Clause
"""What a request asks for: which volume and path, which bytes, on which conditions (RFC 9110). Pure."""

from __future__ import annotations

import errno
import os
import re
from email.utils import formatdate, parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from xos.common.errors import XosError
from xos.xtreemfs.api import Inode
from xos.xtreemfs.errors import BadPath, NoPath, NoRoom, NotServed, PathDenied, PathInTheWay

PATH_MAX = 4096
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BY_ERRNO: dict[int, type[XosError]] = {
    errno.ENOENT: NoPath,
    errno.ENOTDIR: NoPath,
    errno.ESTALE: NoPath,
    errno.EACCES: PathDenied,
    errno.EPERM: PathDenied,
    errno.EROFS: PathDenied,
    errno.EISDIR: PathInTheWay,
    errno.ENOTEMPTY: PathInTheWay,
    errno.EEXIST: PathInTheWay,
    errno.EBUSY: PathInTheWay,
    errno.ENOSPC: NoRoom,
    errno.EDQUOT: NoRoom,
    errno.EINVAL: BadPath,
    errno.ENAMETOOLONG: BadPath,
    errno.ELOOP: BadPath,
    errno.EFBIG: NoRoom,
}


class Place(NamedTuple):
    """What a URL names."""

    volume: str
    path: str
    """From the volume's root, begins with ``/``; as `os.fsdecode` has it."""
    is_directory: bool
    """Whether it ends with a slash."""

    @property
    def shown(self) -> str:
        """For people."""
        return readable(os.fsencode(f"{self.volume}{self.path}"))

    @property
    def parent(self) -> str:
        """Path of the directory that it is in."""
        return self.path.rpartition("/")[0] or "/"

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return os.fsencode(self.path.rpartition("/")[2])


def place_of(where: str) -> Place:
    """From what stands behind ``/Files/``, percent-encoded. Raises `BadPath`."""
    content = unquote_to_bytes(where)
    first, slash, rest = content.partition(b"/")
    parts = [part for part in rest.split(b"/") if part]
    wrong = (
        "it holds a zero byte" if b"\0" in content
        else "it has . or .. in it" if b"." in parts or b".." in parts
        else "it is too long" if len(content) >= PATH_MAX
        else "the volume's name is no UTF-8" if not _is_utf8(first)
        else ""
    )  # fmt: skip
    if wrong:
        raise BadPath(path=readable(content[:200]), detail=wrong)
    ends = content.endswith(b"/") or not slash
    return Place(first.decode(), "/" + os.fsdecode(b"/".join(parts)), ends)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def href(name: bytes, *, directory: bool) -> str:
    """A name as a relative reference; colons are encoded too, so that none is taken for a scheme."""
    return quote(name, safe="") + ("/" if directory else "")


def readable(content: bytes) -> str:
    """Bytes that are no UTF-8 as ``\\xff``."""
    return content.decode(errors="backslashreplace")


def refusal(error: OSError, place: Place) -> XosError:
    """What to tell who asked, for what the file system said."""
    kind = _BY_ERRNO.get(error.errno or 0, NotServed)
    return kind(path=place.shown, detail=os.strerror(error.errno or errno.EIO))


# --- conditions and ranges


def etag(inode: Inode) -> str:
    """Changes with each change of the content."""
    return f'"{inode.id:x}-{inode.epoch:x}-{inode.mtime:x}-{inode.size:x}"'


def http_date(nanoseconds: int) -> str:
    """As HTTP has times, in whole seconds."""
    return formatdate(max(0, nanoseconds) // 10**9, usegmt=True)


def matches(header: str, tag: str) -> bool:
    """Whether ``If-Match`` or ``If-None-Match`` names *tag*; weak and strong are alike to us."""
    return header.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in header.split(",")]


def unchanged_since(header: str, nanoseconds: int) -> bool:
    """Whether the time is not after that of ``If-Modified-Since``; a header that is no time says nothing."""
    try:
        return nanoseconds // 10**9 <= parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return False


class Unsatisfiable(Exception):
    """Raised when none of the bytes asked for is there."""


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end of ``Range: bytes=…``; None: all of them, also for what is no range
    of ours (RFC 9110, section 14.2). Raises `Unsatisfiable`.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        first, last = size - length, size - 1
    else:
        first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
        if found[2] and int(found[2]) < first:
            return None
    if first > last:
        raise Unsatisfiable
    return first, last + 1
