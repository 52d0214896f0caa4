# SPDX-License-Identifier: BSD-3-Clause
"""Requests and replies: which bytes ask for which method of a `FileSystem`, and what its answer is in bytes. Pure.

A request whose bytes are no request raises one of `MALFORMED`.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse.abi import Opcode, SetattrValid
from xos.xtreemfs.fuse.filesystem import FileSystem
from xos.xtreemfs.fuse.values import (
    NOW,
    Attributes,
    Caller,
    Change,
    DirectoryEntry,
    Entry,
    Lock,
    Opened,
    Statfs,
    refuse,
)

Reply = bytes | bytearray | memoryview
_BILLION = 1_000_000_000
MALFORMED = (struct.error, ValueError, IndexError)
"""What reading a request that is too short, or has no name where there must be one, raises."""


class Packed(NamedTuple):
    """A reply, and the inodes that the kernel will have been told of once it has it."""

    data: Reply
    told: tuple[int, ...] = ()


class Operation(NamedTuple):
    """How one opcode is carried out."""

    ask: Callable[[FileSystem, Caller, int, memoryview], Any]
    """The method's answer, or a coroutine that will give it."""
    pack: Callable[[Any, memoryview], Packed]
    """That answer as bytes; also given the request."""


def _name(body: memoryview, start: int) -> bytes:
    """The one name that ends *body*."""
    text = bytes(body[start:])
    if not text.endswith(b"\0") or text.find(b"\0") != len(text) - 1 or len(text) == 1:
        raise ValueError("no name")
    return text[:-1]


def _two_names(body: memoryview, start: int) -> tuple[bytes, bytes]:
    first, second, rest = bytes(body[start:]).split(b"\0")
    if not first or not second or rest:
        raise ValueError("no two names")
    return first, second


# --- replies


def _nothing(_answer: object, _body: memoryview) -> Packed:
    return Packed(b"")


def _raw(answer: Reply, _body: memoryview) -> Packed:
    return Packed(answer)


def _packs(answer: Attributes | Opened | Statfs | Lock, _body: memoryview) -> Packed:
    return Packed(answer.pack())


def _entry(answer: Entry | bytes, _body: memoryview) -> Packed:
    if isinstance(answer, bytes):
        return Packed(answer)
    return Packed(answer.pack(), (answer.attr.ino,))


def _created(answer: tuple[Entry, Opened], _body: memoryview) -> Packed:
    entry, opened = answer
    return Packed(entry.pack() + opened.pack(), (entry.attr.ino,))


def _written(answer: int, _body: memoryview) -> Packed:
    return Packed(abi.write_out.pack(answer, 0))


def _position(answer: int, _body: memoryview) -> Packed:
    return Packed(abi.lseek_out.pack(answer))


def _read(answer: Reply, body: memoryview) -> Packed:
    size = abi.read_in.unpack_from(body)[2]
    return Packed(answer if len(answer) <= size else memoryview(answer)[:size])


def _xattr(answer: bytes, body: memoryview) -> Packed:
    size = abi.getxattr_in.unpack_from(body)[0]
    if size == 0:
        return Packed(abi.getxattr_out.pack(len(answer), 0))
    if len(answer) > size:
        raise refuse(errno.ERANGE)
    return Packed(answer)


def _xattr_names(answer: Iterable[bytes], body: memoryview) -> Packed:
    return _xattr(b"".join(name + b"\0" for name in answer), body)


def _rows(answer: Iterable[DirectoryEntry], body: memoryview) -> Packed:
    return _directory(answer, abi.read_in.unpack_from(body)[2], plus=False)


def _rows_plus(answer: Iterable[DirectoryEntry], body: memoryview) -> Packed:
    return _directory(answer, abi.read_in.unpack_from(body)[2], plus=True)


_NOT_LOOKED_UP = bytes(abi.entry_out.size + abi.attr.size)


def _directory(rows: Iterable[DirectoryEntry], size: int, *, plus: bool) -> Packed:
    out = bytearray()
    told = []
    for row in rows:
        head = abi.dirent.pack(row.ino, row.offset, len(row.name), row.mode >> 12 & 0xF)
        if plus:
            head = (_NOT_LOOKED_UP if row.entry is None else row.entry.pack()) + head
        if len(out) + (len(head) + len(row.name) + 7 & ~7) > size:
            break
        out += head + row.name
        out += bytes(-len(out) % 8)
        if plus and row.entry is not None:
            told.append(row.entry.attr.ino)
    return Packed(out, tuple(told))


# --- requests


def _masked(fs: FileSystem, caller: Caller, mode: int, umask: int) -> tuple[Caller, int]:
    return (caller, mode & ~umask) if fs.masks else (caller._replace(umask=umask), mode)


def _lookup(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.lookup(caller, node, _name(body, 0))


def _getattr(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    flags, _, fh = abi.getattr_in.unpack_from(body)
    return fs.getattr(caller, node, fh if flags & abi.GETATTR_FH else None)


def _setattr(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    valid, _, fh, size, _, atime, mtime, ctime, atime_ns, mtime_ns, ctime_ns, mode, _, uid, gid, _ = (
        abi.setattr_in.unpack_from(body)
    )

    def time(at: SetattrValid, now: SetattrValid, seconds: int, rest: int) -> int | None:
        if not valid & at:
            return None
        return NOW if valid & now else (seconds if seconds < 1 << 63 else seconds - (1 << 64)) * _BILLION + rest

    v = SetattrValid
    change = Change(
        mode=mode if valid & v.MODE else None,
        uid=uid if valid & v.UID else None,
        gid=gid if valid & v.GID else None,
        size=size if valid & v.SIZE else None,
        atime=time(v.ATIME, v.ATIME_NOW, atime, atime_ns),
        mtime=time(v.MTIME, v.MTIME_NOW, mtime, mtime_ns),
        ctime=time(v.CTIME, v(0), ctime, ctime_ns),
        kill_suidgid=bool(valid & v.KILL_SUIDGID),
        fh=fh if valid & v.FH else None,
    )
    return fs.setattr(caller, node, change)


def _readlink(fs: FileSystem, caller: Caller, node: int, _body: memoryview) -> object:
    return fs.readlink(caller, node)


def _symlink(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    name, target = _two_names(body, 0)
    return fs.symlink(caller, node, name, target)


def _mknod(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    mode, rdev, umask, _ = abi.mknod_in.unpack_from(body)
    caller, mode = _masked(fs, caller, mode, umask)
    return fs.mknod(caller, node, _name(body, abi.mknod_in.size), mode, rdev)


def _mkdir(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    mode, umask = abi.mkdir_in.unpack_from(body)
    caller, mode = _masked(fs, caller, mode, umask)
    return fs.mkdir(caller, node, _name(body, abi.mkdir_in.size), mode)


def _unlink(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.unlink(caller, node, _name(body, 0))


def _rmdir(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.rmdir(caller, node, _name(body, 0))


def _rename(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    (to,) = abi.rename_in.unpack_from(body)
    old, new = _two_names(body, abi.rename_in.size)
    return fs.rename(caller, node, old, to, new, 0)


def _rename2(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    to, flags, _ = abi.rename2_in.unpack_from(body)
    old, new = _two_names(body, abi.rename2_in.size)
    return fs.rename(caller, node, old, to, new, flags)


def _link(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    (ino,) = abi.link_in.unpack_from(body)
    return fs.link(caller, ino, node, _name(body, abi.link_in.size))


def _open(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.open(caller, node, abi.open_in.unpack_from(body)[0])


def _create(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    flags, mode, umask, _ = abi.create_in.unpack_from(body)
    caller, mode = _masked(fs, caller, mode, umask)
    return fs.create(caller, node, _name(body, abi.create_in.size), mode, flags)


def _tmpfile(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    flags, mode, umask, _ = abi.create_in.unpack_from(body)
    caller, mode = _masked(fs, caller, mode, umask)
    return fs.tmpfile(caller, node, mode, flags)


def _read_file(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, size, *_ = abi.read_in.unpack_from(body)
    return fs.read(caller, node, fh, offset, size)


def _write(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, size, flags, *_ = abi.write_in.unpack_from(body)
    content = body[abi.write_in.size :]
    if len(content) != size:
        raise ValueError(f"{len(content)} bytes of {size}")
    return fs.write(caller, node, fh, offset, content, flags)


def _statfs(fs: FileSystem, caller: Caller, node: int, _body: memoryview) -> object:
    return fs.statfs(caller, node)


def _release(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, _, flags, owner = abi.release_in.unpack_from(body)
    return fs.release(caller, node, fh, flags, owner)


def _fsync(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, flags, _ = abi.fsync_in.unpack_from(body)
    return fs.fsync(caller, node, fh, datasync=bool(flags & abi.FSYNC_FDATASYNC))


def _fsyncdir(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, flags, _ = abi.fsync_in.unpack_from(body)
    return fs.fsyncdir(caller, node, fh, datasync=bool(flags & abi.FSYNC_FDATASYNC))


def _setxattr(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    size, flags = abi.setxattr_in.unpack_from(body)
    name, _, value = bytes(body[abi.setxattr_in.size :]).partition(b"\0")
    if not name or len(value) != size:
        raise ValueError("no name and value")
    return fs.setxattr(caller, node, name, value, flags)


def _getxattr(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    abi.getxattr_in.unpack_from(body)
    return fs.getxattr(caller, node, _name(body, abi.getxattr_in.size))


def _listxattr(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    abi.getxattr_in.unpack_from(body)
    return fs.listxattr(caller, node)


def _removexattr(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.removexattr(caller, node, _name(body, 0))


def _flush(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, _, _, owner = abi.flush_in.unpack_from(body)
    return fs.flush(caller, node, fh, owner)


def _opendir(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.opendir(caller, node, abi.open_in.unpack_from(body)[0])


def _readdir(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, *_ = abi.read_in.unpack_from(body)
    return fs.readdir(caller, node, fh, offset, plus=False)


def _readdirplus(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, *_ = abi.read_in.unpack_from(body)
    return fs.readdir(caller, node, fh, offset, plus=True)


def _releasedir(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.releasedir(caller, node, abi.release_in.unpack_from(body)[0])


def _access(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return fs.access(caller, node, abi.access_in.unpack_from(body)[0])


def _fallocate(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, length, mode, _ = abi.fallocate_in.unpack_from(body)
    return fs.fallocate(caller, node, fh, offset, length, mode)


def _lseek(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, whence, _ = abi.lseek_in.unpack_from(body)
    return fs.lseek(caller, node, fh, offset, whence)


def _copy_file_range(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, offset, to_ino, to_fh, to_offset, length, _ = abi.copy_file_range_in.unpack_from(body)
    return fs.copy_file_range(caller, node, fh, offset, to_ino, to_fh, to_offset, length)


def _getlk(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    fh, owner, *lock, _, _ = abi.lk_in.unpack_from(body)
    return fs.getlk(caller, node, fh, owner, Lock(*lock))


def _set_lock(fs: FileSystem, caller: Caller, node: int, body: memoryview, *, wait: bool) -> object:
    fh, owner, *lock, flags, _ = abi.lk_in.unpack_from(body)
    return fs.setlk(caller, node, fh, owner, Lock(*lock), wait=wait, flock=bool(flags & abi.LK_FLOCK))


def _setlk(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return _set_lock(fs, caller, node, body, wait=False)


def _setlkw(fs: FileSystem, caller: Caller, node: int, body: memoryview) -> object:
    return _set_lock(fs, caller, node, body, wait=True)


OPERATIONS: Mapping[int, Operation] = MappingProxyType(
    {
        Opcode.LOOKUP: Operation(_lookup, _entry),
        Opcode.GETATTR: Operation(_getattr, _packs),
        Opcode.SETATTR: Operation(_setattr, _packs),
        Opcode.READLINK: Operation(_readlink, _raw),
        Opcode.SYMLINK: Operation(_symlink, _entry),
        Opcode.MKNOD: Operation(_mknod, _entry),
        Opcode.MKDIR: Operation(_mkdir, _entry),
        Opcode.UNLINK: Operation(_unlink, _nothing),
        Opcode.RMDIR: Operation(_rmdir, _nothing),
        Opcode.RENAME: Operation(_rename, _nothing),
        Opcode.RENAME2: Operation(_rename2, _nothing),
        Opcode.LINK: Operation(_link, _entry),
        Opcode.OPEN: Operation(_open, _packs),
        Opcode.READ: Operation(_read_file, _read),
        Opcode.WRITE: Operation(_write, _written),
        Opcode.STATFS: Operation(_statfs, _packs),
        Opcode.RELEASE: Operation(_release, _nothing),
        Opcode.FSYNC: Operation(_fsync, _nothing),
        Opcode.SETXATTR: Operation(_setxattr, _nothing),
        Opcode.GETXATTR: Operation(_getxattr, _xattr),
        Opcode.LISTXATTR: Operation(_listxattr, _xattr_names),
        Opcode.REMOVEXATTR: Operation(_removexattr, _nothing),
        Opcode.FLUSH: Operation(_flush, _nothing),
        Opcode.OPENDIR: Operation(_opendir, _packs),
        Opcode.READDIR: Operation(_readdir, _rows),
        Opcode.READDIRPLUS: Operation(_readdirplus, _rows_plus),
        Opcode.RELEASEDIR: Operation(_releasedir, _nothing),
        Opcode.FSYNCDIR: Operation(_fsyncdir, _nothing),
        Opcode.GETLK: Operation(_getlk, _packs),
        Opcode.SETLK: Operation(_setlk, _nothing),
        Opcode.SETLKW: Operation(_setlkw, _nothing),
        Opcode.ACCESS: Operation(_access, _nothing),
        Opcode.CREATE: Operation(_create, _created),
        Opcode.TMPFILE: Operation(_tmpfile, _created),
        Opcode.FALLOCATE: Operation(_fallocate, _nothing),
        Opcode.LSEEK: Operation(_lseek, _position),
        Opcode.COPY_FILE_RANGE: Operation(_copy_file_range, _written),
    }
)


def forgotten(opcode: int, node: int, body: memoryview) -> list[tuple[int, int]]:
    """Inodes, and how often each was told, that FORGET and BATCH_FORGET take back."""
    if opcode == Opcode.FORGET:
        return [(node, abi.forget_in.unpack_from(body)[0])]
    count, _ = abi.batch_forget_in.unpack_from(body)
    rows = body[abi.batch_forget_in.size :]
    if count * abi.forget_one.size != len(rows):
        raise ValueError(f"{len(rows)} bytes for {count} inodes")
    return [(ino, times) for ino, times in abi.forget_one.iter_unpack(rows)]
