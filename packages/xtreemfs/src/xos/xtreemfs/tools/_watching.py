# SPDX-License-Identifier: BSD-3-Clause
"""``xtfsutil --watch``: what changes in a directory, as it happens, a line of JSON each."""

from __future__ import annotations

import asyncio

import msgspec

from xos.dixi.commands import Session
from xos.xtreemfs.api import Changed, Inode, What
from xos.xtreemfs.client.volume import VolumeClient, opened_volume
from xos.xtreemfs.tools._where import Target
from xos.xtreemfs.tools.errors import BadArgument

PAGE = 1000


class Line(msgspec.Struct, omit_defaults=True):
    """A change."""

    change: str
    """``there`` (a name came, or leads elsewhere), ``changed`` (attributes or content), ``gone``.

    ``all``: more may have changed than could be told, look anew.
    """
    name: str = ""
    """Bytes that are no UTF-8 as ``\\xff``."""
    inode: int = 0
    size: int = 0


class Watch:
    """Of one directory."""

    def __init__(self, volume: VolumeClient, directory: Inode) -> None:
        self._volume, self._directory = volume, directory
        self._names: dict[bytes, int] = {}
        self._changes: asyncio.Queue[Changed | None] = asyncio.Queue()
        volume.on_change = self._changes.put

    async def begin(self) -> None:
        """Know what is there. Raises `OSError`."""
        self._names, after = {}, 0
        while rows := await self._volume.readdir(self._directory.id, after, PAGE):
            self._names |= {row.name: row.inode.id for row in rows}
            after = rows[-1].cookie

    async def next(self) -> list[Line]:
        """What the next change is to who looks at the directory. Raises `OSError`."""
        changed = await self._changes.get()
        if changed is None or changed.what is What.ALL:
            await self.begin()
            return [Line("all")]
        if changed.what is What.ENTRY and changed.inode == self._directory.id:
            return [await self._look(changed.name)]
        names = [name for name, inode in self._names.items() if inode == changed.inode]
        return [await self._look(name, "changed") for name in names]

    async def _look(self, name: bytes, change: str = "there") -> Line:
        try:
            inode = await self._volume.lookup(self._directory.id, name)
        except FileNotFoundError:
            return Line("gone", name.decode(errors="backslashreplace"), self._names.pop(name, 0))
        self._names[name] = inode.id
        return Line(change, name.decode(errors="backslashreplace"), inode.id, inode.size)


async def watch(session: Session, place: Target) -> int:
    """Until somebody ends it."""
    async with opened_volume(session.bus, place.volume, client="xtfsutil --watch") as volume:
        directory = await volume.follow(place.path)
        if not directory.is_directory:
            raise BadArgument(option="--watch", detail="it is no directory")
        watched = Watch(volume, directory)
        await watched.begin()
        session.out(msgspec.json.encode(Line("all")).decode())
        while True:
            for line in await watched.next():
                session.out(msgspec.json.encode(line).decode())
