# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what: mode bits (POSIX.1-2017, 4.5), lists, and Linux's rules for sticky and set-id bits. Pure."""

from __future__ import annotations

import errno
import stat

from xos.xtreemfs.mrc import acl
from xos.xtreemfs.mrc.values import NOW, Change, Inode, Refusal, Who

READ, WRITE, EXECUTE = 4, 2, 1


def may(inode: Inode, who: Who, wanted: int) -> bool:
    """Whether *who* may do all of *wanted* (`READ`, `WRITE`, `EXECUTE`) with *inode*. Snapshots nobody writes to."""
    if inode.origin and wanted & WRITE:
        return False
    if who.superuser:
        return not wanted & EXECUTE or inode.is_directory or bool(inode.mode & 0o111)
    if who.user == inode.owner:
        allowed = inode.mode >> 6
    elif inode.acl:
        return acl.allows(inode.acl, inode.mode, who.user, who.groups, inode.group, wanted)
    elif inode.group in who.groups:
        allowed = inode.mode >> 3
    else:
        allowed = inode.mode
    return wanted & ~allowed & 7 == 0


def denied(inode: Inode, wanted: int = WRITE) -> Refusal:
    """Why nobody, or not this one, `may` do so."""
    return Refusal(errno.EROFS if inode.origin and wanted & WRITE else errno.EACCES)


def owns(inode: Inode, who: Who) -> bool:
    """Whether *who* may change what only an owner may."""
    return who.superuser or who.user == inode.owner


def may_remove(directory: Inode, inode: Inode, who: Who) -> Refusal | None:
    """Why *who* may not take a name of *inode* out of *directory*; None: they may."""
    if not may(directory, who, WRITE | EXECUTE):
        return denied(directory)
    if directory.mode & stat.S_ISVTX and not (owns(directory, who) or owns(inode, who)):
        return Refusal(errno.EPERM)
    return None


def may_name(directory: Inode, name: bytes, who: Who) -> bool:
    """Whether *who* may bring *name* into *directory*, who may write in it.

    Where homes are (a volume's root whose set-uid bit is set) a name is its user's: alice@demo may make ``alice.demo``,
    and drafts ``.alice.demo.…``, so that nobody takes another's place before they come.
    """
    if not directory.mode & stat.S_ISUID or directory.parent != directory.id or owns(directory, who):
        return True
    own = who.user.replace("@", ".", 1).encode()
    return name == own or name.startswith(b"." + own + b".")


def may_change(inode: Inode, who: Who, change: Change) -> Refusal | None:
    """Why *who* may not make *change*; None: they may (chmod(2), chown(2), utimensat(2), truncate(2))."""
    if inode.origin:
        return denied(inode)
    if change.size is not None:
        if inode.is_directory:
            return Refusal(errno.EISDIR)
        if not stat.S_ISREG(inode.mode) or change.size < 0:
            return Refusal(errno.EINVAL)
        if not may(inode, who, WRITE):
            return Refusal(errno.EACCES)
    if change.mode is not None and not owns(inode, who):
        return Refusal(errno.EPERM)
    if not who.superuser:
        if change.owner is not None and not (owns(inode, who) and change.owner == inode.owner):
            return Refusal(errno.EPERM)
        if change.group is not None and not (owns(inode, who) and change.group in who.groups | {inode.group}):
            return Refusal(errno.EPERM)
    return _may_set_times(inode, who, change)


def _may_set_times(inode: Inode, who: Who, change: Change) -> Refusal | None:
    times = [time for time in (change.atime, change.mtime) if time is not None]
    if not times or owns(inode, who):
        return None
    if any(time != NOW for time in times):
        return Refusal(errno.EPERM)
    return None if may(inode, who, WRITE) else Refusal(errno.EACCES)


def mode_after(inode: Inode, who: Who, change: Change) -> int:
    """The mode of *inode* after *change*: set-id bits go when owner, group or content change."""
    mode = inode.mode
    if change.mode is not None:
        mode = stat.S_IFMT(mode) | change.mode & 0o7777
        group = inode.group if change.group is None else change.group
        if not who.superuser and group not in who.groups and not inode.is_directory:
            mode &= ~stat.S_ISGID
    changed = change.owner is not None or change.group is not None
    if not inode.is_directory and (changed or (change.size is not None and not who.superuser)) and change.mode is None:
        mode &= ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            mode &= ~stat.S_ISGID
    return mode


def new_inode_mode(directory: Inode, who: Who, mode: int) -> tuple[int, str]:
    """Mode and group of what is made in *directory*: a set-gid directory hands its group down."""
    if not directory.mode & stat.S_ISGID:
        return mode, who.group
    if stat.S_ISDIR(mode):
        return mode | stat.S_ISGID, directory.group
    if mode & stat.S_ISGID and mode & stat.S_IXGRP and not who.superuser and directory.group not in who.groups:
        mode &= ~stat.S_ISGID
    return mode, directory.group


def new_inode(
    directory: Inode, who: Who, mode: int, now: int, *, number: int = 0, rdev: int = 0, target: bytes | None = None
) -> Inode:
    """What *who* makes in *directory*, of the type and permissions in *mode*: its list comes from the directory's."""
    mode, group = new_inode_mode(directory, who, mode)
    is_directory, listed = stat.S_ISDIR(mode), ""
    if directory.default_acl and not stat.S_ISLNK(mode):
        bits, listed = acl.inherit(directory.default_acl, mode)
        mode = mode & ~0o777 | bits
    return Inode(
        id=number,
        mode=mode,
        nlink=2 if is_directory else 1,
        owner=who.user,
        group=group,
        size=len(target) if target is not None else 0,
        atime=now,
        mtime=now,
        ctime=now,
        rdev=rdev,
        parent=directory.id if is_directory else 0,
        target=target,
        acl=listed,
        default_acl=directory.default_acl if is_directory else "",
    )
