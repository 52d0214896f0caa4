# SPDX-License-Identifier: BSD-3-Clause
"""Volumes for programs that use fsspec (pandas, dask, zarr, …): ``xtreemfs://VOLUME/path``, without a mount.

    fsspec.open("xtreemfs://data/results.csv")
    fsspec.filesystem("xtreemfs", volume="data", home="/home/alice/.xos")

fsspec is not a dependency of the package: whoever uses it has it. What may not be done raises `OSError`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.spec import AbstractBufferedFile

from xos.dixi.bus import GridBus
from xos.dixi.client import load_client, load_credential, make_bus
from xos.dixi.session import home_of
from xos.xtreemfs.api import MOST_BYTES, Access, Inode, Open
from xos.xtreemfs.client.files import Handle
from xos.xtreemfs.client.volume import VolumeClient

SCHEME = "xtreemfs://"
PAGE = 1000
MODE, DIRECTORY_MODE = 0o644, stat.S_IFDIR | 0o755
"""Of what is made."""


class XtreemFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """One volume.

    *home*: where certificate and configuration are (default: ``$XOS_HOME`` or ``~/.xos``). *auto_mkdir*: directories
    for new files are made, as in an object store and as fsspec's local file system can have it.
    """

    protocol = "xtreemfs"
    root_marker = "/"

    def __init__(self, volume: str, home: str | Path | None = None, auto_mkdir: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.auto_mkdir = auto_mkdir
        self.volume = volume
        self._home = home_of(os.environ) if home is None else Path(home)
        self._client: VolumeClient | None = None
        self._bus: GridBus | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = os.fspath(path)
        if text.startswith(SCHEME):
            text = "/" + text.removeprefix(SCHEME).partition("/")[2]
        return "/" + text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"volume": path.removeprefix(SCHEME).partition("/")[0]}

    def unstrip_protocol(self, name: str) -> str:
        """The whole address of a path."""
        return f"{SCHEME}{self.volume}{self._strip_protocol(name)}"

    # --- the volume

    async def connected(self) -> VolumeClient:
        """The volume, by a session that begins when it is first used."""
        async with self._connecting:
            if self._client is None:
                client, trust = load_client(self._home)
                self._bus = make_bus(client, trust, load_credential(self._home))
                found = VolumeClient(self._bus, self.volume, "fsspec")
                await found.start()
                self._client = found
            return self._client

    async def _close(self) -> None:
        client, bus, self._client, self._bus = self._client, self._bus, None, None
        try:
            if client is not None:
                await client.close()
        finally:
            if bus is not None:
                bus.close()

    def close(self) -> None:
        """End the session; it begins anew when the file system is used again."""
        sync(self.loop, self._close)

    async def found(self, path: str) -> Inode:
        """The inode, of what a link leads to."""
        return await (await self.connected()).follow(self._strip_protocol(path))

    async def _spot(self, path: str) -> tuple[int, bytes]:
        where = PurePosixPath(self._strip_protocol(path))
        return (await self.found(str(where.parent))).id, os.fsencode(where.name)

    @asynccontextmanager
    async def opened(self, path: str, wanted: Open) -> AsyncIterator[Handle]:
        """A file; closed, with what was written, at the end."""
        handle = await self.open_file(path, wanted)
        try:
            yield handle
        finally:
            await handle.close()

    async def open_file(self, path: str, wanted: Open) -> Handle:
        """A file, to be closed by the caller."""
        volume = await self.connected()
        if not wanted.create:
            return await volume.open((await self.found(path)).id, wanted)
        if self.auto_mkdir:
            await self._makedirs(self._parent(path), exist_ok=True)
        parent, name = await self._spot(path)
        return await volume.open_name(parent, name, wanted)

    # --- what fsspec asks for

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        return self._entry(self._strip_protocol(path), await self.found(path))

    def _entry(self, path: str, inode: Inode) -> dict[str, Any]:
        kind = "directory" if inode.is_directory else "file" if stat.S_ISREG(inode.mode) else "other"
        return {
            "name": path,
            "size": inode.size,
            "type": "link" if inode.target is not None else kind,
            "mode": inode.mode,
            "owner": inode.owner,
            "group": inode.group,
            "mtime": inode.mtime / 1e9,
            "ino": inode.id,
            "nlink": inode.nlink,
        }

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        volume, where = await self.connected(), self._strip_protocol(path)
        inode = await self.found(path)
        if not inode.is_directory:
            return [self._entry(where, inode)] if detail else [where]
        entries, after = [], 0
        while rows := await volume.readdir(inode.id, after, PAGE):
            entries += [self._entry(f"{where.rstrip('/')}/{os.fsdecode(row.name)}", row.inode) for row in rows]
            after = rows[-1].cookie
        return entries if detail else [entry["name"] for entry in entries]

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        async with self.opened(path, Open(Access.READ)) as file:
            size = file.inode.size
            first = _place(start, size, 0)
            return await _read(file, first, _place(end, size, size))

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        wanted = Open(Access.WRITE, truncate=True, create=True, exclusive=mode == "create", mode=MODE)
        async with self.opened(path, wanted) as file:
            await _write(file, 0, value)

    async def _put_file(
        self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, mode: str = "overwrite", **_: Any
    ) -> None:
        if Path(lpath).is_dir():
            await self._makedirs(rpath, exist_ok=True)
            return
        wanted = Open(Access.WRITE, truncate=True, create=True, exclusive=mode == "create", mode=MODE)
        with await asyncio.to_thread(Path(lpath).open, "rb") as source:
            callback.set_size(os.fstat(source.fileno()).st_size)
            async with self.opened(rpath, wanted) as file:
                at = 0
                while piece := await asyncio.to_thread(source.read, MOST_BYTES):
                    await file.write(at, piece)
                    at += len(piece)
                    callback.relative_update(len(piece))

    async def _get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        if (await self.found(rpath)).is_directory:
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        async with self.opened(rpath, Open(Access.READ)) as file:
            callback.set_size(file.inode.size)
            with await asyncio.to_thread(Path(lpath).open, "wb") as out:
                at = 0
                while piece := await file.read(at, MOST_BYTES):
                    await asyncio.to_thread(out.write, piece)
                    at += len(piece)
                    callback.relative_update(len(piece))

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        if (await self.found(path1)).is_directory:
            await self._makedirs(path2, exist_ok=True)
            return
        wanted = Open(Access.WRITE, truncate=True, create=True, mode=MODE)
        async with self.opened(path1, Open(Access.READ)) as source, self.opened(path2, wanted) as file:
            at = 0
            while piece := await source.read(at, MOST_BYTES):
                await file.write(at, bytes(piece))
                at += len(piece)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        if create_parents:
            await self._makedirs(self._parent(path), exist_ok=True)
        parent, name = await self._spot(path)
        await (await self.connected()).create(parent, name, DIRECTORY_MODE, 0, None)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        where = PurePosixPath(self._strip_protocol(path))
        if exist_ok and await self._is_directory(str(where)):
            return
        for one in [*reversed(where.parents), where][1:]:
            try:
                await self._mkdir(str(one), create_parents=False)
            except FileExistsError:
                if (one == where and not exist_ok) or not (await self.found(str(one))).is_directory:
                    raise

    async def _is_directory(self, path: str) -> bool:
        try:
            return (await self.found(path)).is_directory
        except FileNotFoundError:
            return False

    async def _rm(self, path: Any, recursive: bool = False, **_: Any) -> None:
        # One after another: a directory is only empty when all that was in it is gone.
        for one in reversed(await self._expand_path(path, recursive=recursive)):
            await self._rm_file(one)

    async def _rm_file(self, path: str, **_: Any) -> None:
        parent, name = await self._spot(path)
        volume = await self.connected()
        if (await volume.lookup(parent, name)).is_directory:
            await volume.rmdir(parent, name)
        else:
            await volume.unlink(parent, name)

    async def _rmdir(self, path: str) -> None:
        parent, name = await self._spot(path)
        await (await self.connected()).rmdir(parent, name)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        sync(self.loop, self._rmdir, path)

    async def _mv(self, path1: str, path2: str) -> None:
        parent, name = await self._spot(path1)
        new_parent, new_name = await self._spot(path2)
        await (await self.connected()).rename(parent, name, new_parent, new_name)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Rename: in one step, as rename(2) does, whatever lies below."""
        sync(self.loop, self._mv, path1, path2)

    def created(self, path: str) -> None:
        """No file system that POSIX describes knows it."""
        raise NotImplementedError(f"{path}: it is not kept when a file was made")

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> XtreemFile:
        size = block_size or MOST_BYTES
        file = XtreemFile(self, path, mode, size, autocommit=autocommit, cache_options=cache_options or {}, **options)
        if mode != "rb":
            file.begin()
        return file


class XtreemFile(AbstractBufferedFile):  # type: ignore[misc]
    """An open file with fsspec's buffer."""

    _handle: Handle | None = None
    _at = 0

    def _fetch_range(self, start: int, end: int) -> bytes:
        if self._handle is None:
            self._handle = sync(self.fs.loop, self.fs.open_file, self.path, Open(Access.READ))
        content: bytes = sync(self.fs.loop, _read, self._handle, start, end)
        return content

    def begin(self) -> None:
        """Make or open the file that is to be written. Raises `OSError`."""
        fresh = "a" not in self.mode
        wanted = Open(Access.WRITE, truncate=fresh, create=True, exclusive="x" in self.mode, mode=MODE)
        try:
            handle = self._handle = sync(self.fs.loop, self.fs.open_file, self.path, wanted)
        except OSError:
            self.closed = True
            raise
        self._at = 0 if fresh else handle.inode.size

    def _initiate_upload(self) -> None:
        """It has begun already."""

    def _upload_chunk(self, final: bool = False) -> bool:
        content = self.buffer.getvalue()
        sync(self.fs.loop, _write, self._handle, self._at, content)
        self._at += len(content)
        if final:
            self._end()
        return True

    def close(self) -> None:
        """Write what is left. Raises `OSError` when it cannot be written."""
        try:
            super().close()
        finally:
            self.closed = True  # also when it failed: it is not tried again
            self._end()

    def _end(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            sync(self.fs.loop, handle.close)


async def _read(file: Handle, start: int, end: int) -> bytes:
    pieces = []
    while start < end and (piece := await file.read(start, min(end - start, MOST_BYTES))):
        pieces.append(bytes(piece))
        start += len(piece)
    return b"".join(pieces)


async def _write(file: Handle, at: int, content: bytes) -> None:
    view = memoryview(content)
    for start in range(0, len(view), MOST_BYTES):
        await file.write(at + start, view[start : start + MOST_BYTES])


def _place(given: int | None, size: int, absent: int) -> int:
    """As a slice has it: negative ones count from the end."""
    return absent if given is None else max(0, size + given) if given < 0 else min(given, size)
