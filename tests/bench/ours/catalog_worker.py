# SPDX-License-Identifier: BSD-3-Clause
"""An MRC with so many files, and what it costs to work on it; beside it the same on the local disk.

Run as ``python -m``: SIZE DIRECTORY. Requests: ``{"do": "create", "stat" or "unlink", "count": N, "local": bool}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from support.daemons import eventually
from support.filegrid import FileGrid
from xos.dixi.bus import GridBus
from xos.xtreemfs.api import Access, Ask, Claim, Closed, Open
from xos.xtreemfs.xati import MRCAsync, MRCXati

CLAIM = Claim("alice@demo", ("users@demo",), "users@demo")
WRITE = Open(Access.READ | Access.WRITE, create=True, exclusive=True, mode=0o644)
IN_A_DIRECTORY = 1000
IN_FLIGHT = 8
_TICK = os.sysconf("SC_CLK_TCK")


def fill(database: Path, root: int, size: int) -> None:
    """Put files into a volume as creating them would have: the daemon is not running."""
    with sqlite3.connect(database) as db:
        (volume,) = db.execute("SELECT volume_id FROM inodes WHERE id = ?", (root,)).fetchone()
        (first,) = db.execute("SELECT max(id) + 1 FROM inodes").fetchone()
        directories = range(first, first + max(1, size // IN_A_DIRECTORY))
        inode = """INSERT INTO inodes
            (id, volume_id, mode, nlink, owner, owner_group, size, atime, mtime, ctime, rdev, parent)
            VALUES (?, ?, ?, ?, 'alice@demo', 'users@demo', 0, 1, 1, 1, 0, ?)"""
        entry = "INSERT INTO entries (parent, name, inode) VALUES (?, ?, ?)"
        db.executemany(inode, ((number, volume, 0o040755, 2, root) for number in directories))
        db.executemany(entry, ((root, b"d%d" % number, number) for number in directories))
        files = range(directories.stop, directories.stop + size)
        db.executemany(inode, ((number, volume, 0o100644, 1, 0) for number in files))
        at = directories.start
        db.executemany(entry, ((at + number % len(directories), b"f%d" % number, number) for number in files))


class Catalog:
    """The MRC, and the files that were made on it."""

    def __init__(self, grid: FileGrid, bus: GridBus, session: str, root: int) -> None:
        self.grid, self.mrc, self.session, self.root = grid, MRCAsync(bus), session, root
        self.number = 0
        self.made: list[tuple[bytes, int, int]] = []

    def ask(self) -> Ask:
        self.number += 1
        return Ask(self.session, self.number, CLAIM)

    async def create(self, turn: int) -> None:
        name = b"new%d-%d" % (self.number, turn)
        opened = await self.mrc.open_name(self.root, name, WRITE, self.ask())
        self.made.append((name, opened.inode.id, opened.handle))

    async def stat(self, turn: int) -> None:
        await self.mrc.lookup(self.root, self.made[turn % len(self.made)][0], CLAIM, self.session)

    async def unlink(self, turn: int) -> None:  # noqa: ARG002 -- the last one
        await self.mrc.unlink(self.root, self.made.pop()[0], self.ask())

    async def do(self, what: str, count: int) -> dict[str, float]:
        """CPU seconds of the daemon for each, and how many a second."""
        if what != "create" and len(self.made) < count:
            await self._each(self.create, count)
        if self.made:  # open files are the client's to close, in one call, as it does
            await self.mrc.close([Closed(handle) for *_, handle in self.made[-4000:]], self.ask())
        before, began = self.cpu(), time.perf_counter()
        await self._each(getattr(self, what), count)
        return {"cpu": (self.cpu() - before) / count, "wall": time.perf_counter() - began}

    async def _each(self, do: Callable[[int], Awaitable[None]], count: int) -> None:
        left = iter(range(count))

        async def some() -> None:
            for turn in left:
                await do(turn)

        await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))

    def cpu(self) -> float:
        process = self.grid.core.process
        assert process is not None
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK


def local(directory: Path, what: str, count: int) -> dict[str, float]:
    """The same on the local disk, by this process."""
    names = [directory / f"new{number}" for number in range(count)]
    if what != "create":
        for name in names:
            name.touch()
    before, began = time.process_time(), time.perf_counter()
    for name in names:
        if what == "create":
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))
        elif what == "stat":
            name.stat()
        else:
            name.unlink()
    spent = {"cpu": (time.process_time() - before) / count, "wall": time.perf_counter() - began}
    for name in names:
        name.unlink(missing_ok=True)
    return spent


async def main(size: int, directory: Path) -> None:
    """Answer requests until the input ends."""
    grid, loop = FileGrid(osds=1), asyncio.get_running_loop()
    try:
        grid.start()
        grid.make_volume(mode=0o777)
        with grid.bus() as blocking:
            (volume,) = MRCXati(blocking).volumes()
        grid.core.stop()
        fill(next(grid.core.root.rglob("mrc.sqlite")), volume.root, size)
        grid.core.start()
        with grid.bus() as blocking:
            for _ in eventually(30):
                if MRCXati(blocking).space("home").total:
                    break
        bus = grid.async_bus()
        session = await MRCAsync(bus).begin("home", "bench")
        catalog = Catalog(grid, bus, session.id, session.root.id)
        print(json.dumps({"ready": True}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            request: dict[str, Any] = json.loads(line)
            what, count = request["do"], request["count"]
            answer = local(directory, what, count) if request["local"] else await catalog.do(what, count)
            print(json.dumps(answer), flush=True)
        bus.close()
    finally:
        grid.remove()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
