# SPDX-License-Identifier: BSD-3-Clause
"""``python -m xos.node.walk FIRST LAST DIRECTORY...``: which numbers from FIRST to LAST own something in file systems.

A program of its own, for the lowest priority and a working set that ends with it. Each number is printed once: owner,
group, and whoever a POSIX ACL names (acl(5); the attributes are as in linux/posix_acl_xattr.h). What cannot be looked
at is told on standard error, and the exit status is 1. Other file systems below a directory are left out.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator

ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_HEAD, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_VERSION, _USER, _GROUP = 2, 2, 8
_NO_ACL = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT, errno.ENOTDIR})
_GONE = (FileNotFoundError, NotADirectoryError)


def named_in(acl: bytes) -> set[int]:
    """Users and groups that an ACL names. Raises `ValueError` for what is no ACL."""
    body = acl[_HEAD.size :]
    if len(acl) < _HEAD.size or _HEAD.unpack_from(acl)[0] != _VERSION or len(body) % _ENTRY.size:
        raise ValueError(f"no POSIX ACL of version {_VERSION}")
    return {number for tag, _, number in _ENTRY.iter_unpack(body) if tag in {_USER, _GROUP}}


class Walk:
    """Looks at everything below directories."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self.failures: list[str] = []

    def below(self, top: str) -> Iterator[int]:
        """Owners and those named in ACLs, some of them more than once."""
        try:
            fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # unmounted meanwhile
        except OSError as error:
            self.failures.append(f"{top!r}: {error.strerror}")
            return
        device = os.fstat(fd).st_dev
        yield from self._numbers(os.fstat(fd), f"/proc/self/fd/{fd}")
        # One descriptor for each level: a path may be longer than any call takes.
        levels = [(fd, self._entries(fd, top))]
        try:
            while levels:
                fd, entries = levels[-1]
                entry = next(entries, None)
                if entry is None:
                    os.close(fd)
                    levels.pop()
                    continue
                try:
                    yield from self._entry(fd, entry, device, levels)
                except _GONE:
                    continue
                except OSError as error:
                    self._failed(entry.name, error)
        finally:
            for fd, _ in levels:
                os.close(fd)

    def _entry(
        self, fd: int, entry: os.DirEntry[str], device: int, levels: list[tuple[int, Iterator[os.DirEntry[str]]]]
    ) -> Iterator[int]:
        found = entry.stat(follow_symlinks=False)
        yield from self._numbers(found, None if entry.is_symlink() else f"/proc/self/fd/{fd}/{entry.name}")
        if entry.is_dir(follow_symlinks=False) and found.st_dev == device:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(entry.name, flags, dir_fd=fd)
            levels.append((inner, self._entries(inner, entry.name)))

    def _entries(self, fd: int, name: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(fd) as entries:
                yield from entries
        except OSError as error:
            self._failed(name, error)

    def _numbers(self, found: os.stat_result, path: str | None) -> Iterator[int]:
        numbers = {found.st_uid, found.st_gid}
        for name in ACLS if path is not None else ():
            try:
                numbers |= named_in(os.getxattr(path or "", name, follow_symlinks=False))
            except OSError as error:
                if error.errno not in _NO_ACL:
                    raise
            except ValueError as error:
                self.failures.append(f"{path}: {error}")
        return (number for number in numbers if self._first <= number <= self._last)

    def _failed(self, name: str, error: OSError) -> None:
        if not isinstance(error, _GONE):
            self.failures.append(f"{name!r}: {error.strerror}")


def main() -> int:
    """Look; 1 when not everything could be looked at."""
    walk = Walk(int(sys.argv[1]), int(sys.argv[2]))
    told: set[int] = set()
    for top in sys.argv[3:]:
        for number in walk.below(top):
            if number not in told:
                told.add(number)
                sys.stdout.write(f"{number}\n")
                sys.stdout.flush()
    for failure in walk.failures[:10]:
        sys.stderr.write(f"{failure[:300]}\n")
    return 1 if walk.failures else 0


if __name__ == "__main__":
    sys.exit(main())
