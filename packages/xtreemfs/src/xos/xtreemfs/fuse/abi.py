# SPDX-License-Identifier: BSD-3-Clause
"""The FUSE protocol as ``include/uapi/linux/fuse.h`` has it (7.41, Linux 6.12): the kernel's names, sizes and numbers.

Each `Struct` is one C structure, little-endian as on all machines we run on.
"""

from __future__ import annotations

import enum
from struct import Struct

KERNEL_VERSION = 7
KERNEL_MINOR_VERSION = 41
LEAST_MINOR_VERSION = 31
"""Linux 5.4."""
ROOT_ID = 1
MIN_READ_BUFFER = 8192


class Opcode(enum.IntEnum):
    """``enum fuse_opcode``."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52


class InitFlag(enum.IntFlag):
    """What kernel and file system agree on at the start (``FUSE_ASYNC_READ`` and so on; ``flags2`` from bit 32)."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    ATOMIC_O_TRUNC = 1 << 3
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    FLOCK_LOCKS = 1 << 10
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    PARALLEL_DIROPS = 1 << 18
    HANDLE_KILLPRIV = 1 << 19
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    EXPLICIT_INVAL_DATA = 1 << 25
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    DIRECT_IO_ALLOW_MMAP = 1 << 36
    PASSTHROUGH = 1 << 37


class SetattrValid(enum.IntFlag):
    """Which fields of a SETATTR count (``FATTR_MODE`` and so on)."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    LOCKOWNER = 1 << 9
    CTIME = 1 << 10
    KILL_SUIDGID = 1 << 11


class OpenFlag(enum.IntFlag):
    """What the kernel may do with an open file (``FOPEN_DIRECT_IO`` and so on)."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1
    NONSEEKABLE = 1 << 2
    CACHE_DIR = 1 << 3
    STREAM = 1 << 4
    NOFLUSH = 1 << 5
    PARALLEL_DIRECT_WRITES = 1 << 6
    PASSTHROUGH = 1 << 7


class Notify(enum.IntEnum):
    """``enum fuse_notify_code``: what we tell the kernel unasked."""

    INVAL_INODE = 2
    INVAL_ENTRY = 3
    STORE = 4
    DELETE = 6


FSYNC_FDATASYNC = 1 << 0
GETATTR_FH = 1 << 0
LK_FLOCK = 1 << 0
RELEASE_FLUSH = 1 << 0
RELEASE_FLOCK_UNLOCK = 1 << 1
WRITE_CACHE = 1 << 0
WRITE_KILL_SUIDGID = 1 << 2
OPEN_KILL_SUIDGID = 1 << 0

in_header = Struct("<IIQQIIIHH")
"""len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding"""
out_header = Struct("<IiQ")
"""len, error, unique"""
attr = Struct("<6Q10I")
"""ino, size, blocks, {a,m,c}time, {a,m,c}timensec, mode, nlink, uid, gid, rdev, blksize, flags"""
entry_out = Struct("<4Q2I")
"""nodeid, generation, {entry,attr}_valid, {entry,attr}_valid_nsec; an `attr` follows"""
attr_out = Struct("<QII")
"""attr_valid, attr_valid_nsec, dummy; an `attr` follows"""
getattr_in = Struct("<IIQ")
setattr_in = Struct("<II6Q8I")
"""valid, padding, fh, size, lock_owner, {a,m,c}time, {a,m,c}timensec, mode, unused, uid, gid, unused"""
mknod_in = Struct("<IIII")
mkdir_in = Struct("<II")
rename_in = Struct("<Q")
rename2_in = Struct("<QII")
link_in = Struct("<Q")
open_in = Struct("<II")
open_out = Struct("<QIi")
"""fh, open_flags, backing_id"""
create_in = Struct("<IIII")
"""flags, mode, umask, open_flags"""
read_in = Struct("<QQIIQII")
"""fh, offset, size, read_flags, lock_owner, flags, padding"""
write_in = Struct("<QQIIQII")
"""fh, offset, size, write_flags, lock_owner, flags, padding"""
write_out = Struct("<II")
statfs_out = Struct("<5Q4I24x")
"""blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding"""
release_in = Struct("<QIIQ")
flush_in = Struct("<QIIQ")
fsync_in = Struct("<QII")
setxattr_in = Struct("<II")
"""size, flags: the form without SETXATTR_EXT"""
getxattr_in = Struct("<II")
getxattr_out = Struct("<II")
lk_in = Struct("<QQQQIIII")
"""fh, owner, start, end, type, pid, lk_flags, padding"""
lk_out = Struct("<QQII")
access_in = Struct("<II")
init_in = Struct("<IIIII44x")
"""major, minor, max_readahead, flags, flags2"""
init_in_old = Struct("<IIII")
init_out = Struct("<IIIIHHIIHHIIH22x")
"""major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran, max_pages,
map_alignment, flags2, max_stack_depth, request_timeout"""
interrupt_in = Struct("<Q")
forget_in = Struct("<Q")
batch_forget_in = Struct("<II")
forget_one = Struct("<QQ")
fallocate_in = Struct("<QQQII")
lseek_in = Struct("<QQII")
lseek_out = Struct("<Q")
copy_file_range_in = Struct("<7Q")
"""fh_in, off_in, nodeid_out, fh_out, off_out, len, flags"""
dirent = Struct("<QQII")
"""ino, off, namelen, type; the name follows, padded to 8 bytes"""
notify_inval_inode_out = Struct("<Qqq")
notify_inval_entry_out = Struct("<QII")
notify_delete_out = Struct("<QQII")
notify_store_out = Struct("<QQII")
backing_map = Struct("<iIQ")

DEV_IOC_CLONE = 0x8004E500
"""``_IOR(229, 0, uint32_t)``"""
DEV_IOC_BACKING_OPEN = 0x4010E501
"""``_IOW(229, 1, struct fuse_backing_map)``"""
DEV_IOC_BACKING_CLOSE = 0x4004E502
"""``_IOW(229, 2, uint32_t)``"""
