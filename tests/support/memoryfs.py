# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: ARG002 -- methods are given more than this file system looks at
"""A file system in memory, whole enough for programs; `late` makes every answer a coroutine's."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from xos.xtreemfs.fuse import abi
from xos.xtreemfs.fuse.filesystem import FileSystem
from xos.xtreemfs.fuse.values import (
    NOW,
    Attr,
    Attributes,
    Caller,
    Change,
    DirectoryEntry,
    Entry,
    Opened,
    Statfs,
    refuse,
)

VALID_NS = 1_000_000_000
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
_BLOCK = 4096


class Node:
    """An inode."""

    def __init__(self, ino: int, mode: int, uid: int, gid: int, rdev: int = 0) -> None:
        now = time.time_ns()
        self.attr = Attr(ino, mode, 1, uid, gid, atime=now, mtime=now, ctime=now, rdev=rdev)
        self.data = bytearray()
        self.target = b""
        self.names: dict[bytes, Node] = {}
        self.parent = self
        self.xattrs: dict[bytes, bytes] = {}

    def change(self, **values: Any) -> None:
        self.attr = self.attr._replace(**{"ctime": time.time_ns()} | values)

    def resize(self, size: int) -> None:
        if size < len(self.data):
            del self.data[size:]
        else:
            self.data.extend(bytes(size - len(self.data)))
        self.change(size=size, blocks=-(-size // 512), mtime=time.time_ns())


class MemoryFs(FileSystem):
    """Not for use: a partner for the tests of the binding."""

    def __init__(self) -> None:
        self.nodes = {abi.ROOT_ID: Node(abi.ROOT_ID, stat.S_IFDIR | 0o777, 0, 0)}
        self.nodes[abi.ROOT_ID].change(nlink=2)
        self.known: set[int] = set()
        self.calls: Counter[str] = Counter()
        self.destroyed = False
        self._numbers = itertools.count(2)

    # --- helpers

    def node(self, ino: int) -> Node:
        if ino not in self.nodes:
            raise refuse(errno.ESTALE)
        return self.nodes[ino]

    def entry(self, node: Node) -> Entry:
        self.known.add(node.attr.ino)
        return Entry(node.attr, VALID_NS, VALID_NS)

    def add(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int = 0) -> Node:
        inside = self.node(parent)
        if name in inside.names:
            raise refuse(errno.EEXIST)
        node = Node(next(self._numbers), mode, caller.uid, caller.gid, rdev)
        node.parent = inside
        self.nodes[node.attr.ino] = node
        inside.names[name] = node
        inside.change(mtime=time.time_ns())
        return node

    def gone(self, node: Node) -> None:
        if node.attr.nlink == 0 and node.attr.ino not in self.known:
            self.nodes.pop(node.attr.ino, None)

    def forget(self, ino: int) -> None:
        self.known.discard(ino)
        if ino in self.nodes:
            self.gone(self.nodes[ino])

    def destroy(self) -> None:
        self.destroyed = True

    # --- names

    def lookup(self, caller: Caller, parent: int, name: bytes) -> Any:
        self.calls["lookup"] += 1
        node = self.node(parent).names.get(name)
        if node is None:
            raise refuse(errno.ENOENT)
        return self.entry(node)

    def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Any:
        return self.entry(self.add(caller, parent, name, mode, rdev))

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Any:
        node = self.add(caller, parent, name, stat.S_IFDIR | mode)
        node.change(nlink=2)
        node.parent.change(nlink=node.parent.attr.nlink + 1)
        return self.entry(node)

    def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Any:
        node = self.add(caller, parent, name, stat.S_IFLNK | 0o777)
        node.target = target
        node.change(size=len(target))
        return self.entry(node)

    def link(self, caller: Caller, ino: int, parent: int, name: bytes) -> Any:
        node, inside = self.node(ino), self.node(parent)
        if name in inside.names:
            raise refuse(errno.EEXIST)
        inside.names[name] = node
        node.change(nlink=node.attr.nlink + 1)
        return self.entry(node)

    def unlink(self, caller: Caller, parent: int, name: bytes) -> Any:
        inside = self.node(parent)
        node = inside.names.get(name)
        if node is None:
            raise refuse(errno.ENOENT)
        del inside.names[name]
        inside.change(mtime=time.time_ns())
        node.change(nlink=node.attr.nlink - 1)
        self.gone(node)

    def rmdir(self, caller: Caller, parent: int, name: bytes) -> Any:
        inside = self.node(parent)
        node = inside.names.get(name)
        if node is None:
            raise refuse(errno.ENOENT)
        if node.names:
            raise refuse(errno.ENOTEMPTY)
        del inside.names[name]
        inside.change(nlink=inside.attr.nlink - 1)
        node.change(nlink=0)
        self.gone(node)

    def rename(self, caller: Caller, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int) -> Any:
        old, new = self.node(parent), self.node(new_parent)
        node, there = old.names[name], new.names.get(new_name)
        if there is not None and flags & RENAME_NOREPLACE:
            raise refuse(errno.EEXIST)
        if flags & RENAME_EXCHANGE:
            assert there is not None
            old.names[name], new.names[new_name] = there, node
            node.parent, there.parent = new, old
            return
        if there is node:
            return
        if there is not None:
            remove = MemoryFs.rmdir if stat.S_ISDIR(there.attr.mode) else MemoryFs.unlink
            remove(self, caller, new_parent, new_name)
        del old.names[name]
        new.names[new_name] = node
        if stat.S_ISDIR(node.attr.mode) and old is not new:
            node.parent = new
            old.change(nlink=old.attr.nlink - 1)
            new.change(nlink=new.attr.nlink + 1)

    # --- inodes

    def getattr(self, caller: Caller, ino: int, fh: int | None) -> Any:
        self.calls["getattr"] += 1
        return Attributes(self.node(ino).attr, VALID_NS)

    def setattr(self, caller: Caller, ino: int, change: Change) -> Any:
        node = self.node(ino)
        if change.size is not None:
            node.resize(change.size)
        values = {field: value for field in ("uid", "gid") if (value := getattr(change, field)) is not None}
        if change.mode is not None:
            values["mode"] = stat.S_IFMT(node.attr.mode) | change.mode & 0o7777
        for field in ("atime", "mtime"):
            value = getattr(change, field)
            if value is not None:
                values[field] = time.time_ns() if value == NOW else value
        node.change(**values)
        return Attributes(node.attr, VALID_NS)

    def readlink(self, caller: Caller, ino: int) -> Any:
        return self.node(ino).target

    def statfs(self, caller: Caller, ino: int) -> Any:
        return Statfs(blocks=1000, bfree=600, bavail=500, files=100, ffree=90)

    def getxattr(self, caller: Caller, ino: int, name: bytes) -> Any:
        value = self.node(ino).xattrs.get(name)
        if value is None:
            raise refuse(errno.ENODATA)
        return value

    def listxattr(self, caller: Caller, ino: int) -> Any:
        return list(self.node(ino).xattrs)

    def setxattr(self, caller: Caller, ino: int, name: bytes, value: bytes, flags: int) -> Any:
        there = name in self.node(ino).xattrs
        if there and flags & os.XATTR_CREATE:
            raise refuse(errno.EEXIST)
        if not there and flags & os.XATTR_REPLACE:
            raise refuse(errno.ENODATA)
        self.node(ino).xattrs[name] = value

    def removexattr(self, caller: Caller, ino: int, name: bytes) -> Any:
        if self.node(ino).xattrs.pop(name, None) is None:
            raise refuse(errno.ENODATA)

    # --- directories

    def readdir(self, caller: Caller, ino: int, fh: int, offset: int, *, plus: bool) -> Any:
        self.calls["readdirplus" if plus else "readdir"] += 1
        return self.rows(self.node(ino), offset, plus=plus)

    def rows(self, node: Node, offset: int, *, plus: bool) -> Iterator[DirectoryEntry]:
        dots = [(b".", node), (b"..", node.parent)]
        for number, (name, child) in enumerate([*dots, *node.names.items()], 1):
            if number > offset:
                entry = self.entry(child) if plus and number > len(dots) else None
                yield DirectoryEntry(name, child.attr.ino, child.attr.mode, number, entry)

    # --- files

    def create(self, caller: Caller, parent: int, name: bytes, mode: int, flags: int) -> Any:
        return self.entry(self.add(caller, parent, name, mode | stat.S_IFREG)), Opened()

    def tmpfile(self, caller: Caller, parent: int, mode: int, flags: int) -> Any:
        node = Node(next(self._numbers), mode | stat.S_IFREG, caller.uid, caller.gid)
        node.change(nlink=0)
        self.nodes[node.attr.ino] = node
        return self.entry(node), Opened()

    def open(self, caller: Caller, ino: int, flags: int) -> Any:
        if flags & os.O_TRUNC:
            self.node(ino).resize(0)
        return Opened(flags=abi.OpenFlag.KEEP_CACHE)

    def read(self, caller: Caller, ino: int, fh: int, offset: int, size: int) -> Any:
        self.calls["read"] += 1
        return bytes(self.node(ino).data[offset : offset + size])

    def write(self, caller: Caller, ino: int, fh: int, offset: int, content: memoryview, flags: int) -> Any:
        node = self.node(ino)
        if offset + len(content) > len(node.data):
            node.resize(offset + len(content))
        node.data[offset : offset + len(content)] = content
        node.change(mtime=time.time_ns())
        return len(content)

    def fallocate(self, caller: Caller, ino: int, fh: int, offset: int, length: int, mode: int) -> Any:
        if mode:
            raise refuse(errno.EOPNOTSUPP)
        node = self.node(ino)
        node.resize(max(len(node.data), offset + length))

    def lseek(self, caller: Caller, ino: int, fh: int, offset: int, whence: int) -> Any:
        size = len(self.node(ino).data)
        if offset >= size:
            raise refuse(errno.ENXIO)
        return size if whence == os.SEEK_HOLE else offset

    def copy_file_range(
        self, caller: Caller, ino: int, fh: int, offset: int, to_ino: int, to_fh: int, to_offset: int, length: int
    ) -> Any:
        self.calls["copy_file_range"] += 1
        piece = bytes(self.node(ino).data[offset : offset + length])
        return self.write(caller, to_ino, to_fh, to_offset, memoryview(piece), 0)


class LateFs(MemoryFs):
    """Answers everything later, so that many requests are under way at once."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in _LATE:
            return found

        async def later(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            method: Callable[..., Any] = found
            return method(*args, **kwargs)

        return later


_LATE = frozenset(
    {"lookup", "mknod", "mkdir", "symlink", "link", "unlink", "rmdir", "rename", "getattr", "setattr", "readlink"}
    | {"statfs", "getxattr", "listxattr", "setxattr", "removexattr", "readdir", "create", "open", "read", "write"}
)
