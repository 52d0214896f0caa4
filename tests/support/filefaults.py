# SPDX-License-Identifier: BSD-3-Clause
"""Three OSDs, a core and mounts as real processes that are killed, paused and parted at random; what was seen of it.

``python -m support.filefaults faults SEED SECONDS`` and ``… lost [planted]`` print a history as JSON; the functions of
these names run that in name spaces of its own, where each OSD has a network interface that can be cut. The end of its
first process is the end of all.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import msgspec

from support.daemons import eventually
from support.filegrid import ROOT, Mount
from support.partedgrid import END_SECONDS, FarNode, PartedGrid, isolated, say
from xos.xtreemfs.api import PROMISE_SECONDS, Policy, Striping, Update
from xos.xtreemfs.xati import MRCXati

CELL = struct.Struct("<Q")
CELLS = 4
APART = 96 << 10
"""Not on the same block of sums, nor on blocks of their own."""
SLOW_SECONDS = 5.0
_FORK = multiprocessing.get_context("fork")
PLANTED = """
import asyncio, runpy, sys
from xos.xtreemfs.osd.leading import Lead
async def at_once(self, version):
    await asyncio.sleep(0)
async def alone(self):
    await self.start()
    await self._disk.sync(self.file_id)
    return self._state
Lead._acknowledged, Lead.sync = at_once, alone
sys.argv[0] = "dixid"
runpy.run_module("xos.dixi.dixid", run_name="__main__")
"""
"""A primary that does not wait for a majority."""


class History(msgspec.Struct, frozen=True):
    """What a run saw."""

    wrong: list[str]
    """What cannot be, if nothing acknowledged is lost."""
    writes: int
    reads: int
    troubles: dict[str, int]
    stall: float
    """Seconds that a write took at the most, failures of several nodes one after another included."""


def faults(seed: int, seconds: float) -> History:
    """Writers and readers for so long while something fails."""
    return _history(seconds, "faults", str(seed), str(seconds))


def lost(*, planted: bool) -> History:
    """A primary that no other OSD hears takes writes, and dies; *planted*, it acknowledges what nobody else has."""
    return _history(0.0, "lost", *(["planted"] if planted else []))


def _history(seconds: float, *words: str) -> History:
    return msgspec.json.decode(isolated("support.filefaults", seconds, *words), type=History)


class Run:
    """Writers and readers of one file that is replicated to all OSDs: cells, that one process each writes to.

    They are processes, since a process that has a file open and starts another waits for what it has not written yet.
    """

    def __init__(self, grid: PartedGrid, chance: random.Random) -> None:
        self.grid, self.chance = grid, chance
        self.begun, self.acknowledged = _FORK.RawArray("Q", CELLS), _FORK.RawArray("Q", CELLS)
        """The last number of each cell."""
        self.over, self.wrong = _FORK.Event(), _FORK.Manager().list()
        self.writes, self.reads, self.stall = _FORK.Value("Q"), _FORK.Value("Q"), _FORK.Value("d")
        self.troubles: dict[str, int] = {}

    def write(self, mount: Mount, cell: int) -> None:
        """Open, write, fsync, close: then it is acknowledged."""
        self.begun[cell] += 1
        began = time.monotonic()
        fd = os.open(mount.path / "file", os.O_WRONLY)
        try:
            os.pwrite(fd, CELL.pack(self.begun[cell]), cell * APART)
            os.fsync(fd)
        finally:
            os.close(fd)
        self.acknowledged[cell] = self.begun[cell]
        took = time.monotonic() - began
        with self.writes.get_lock():
            self.writes.value += 1
            self.stall.value = max(self.stall.value, took)
        if took > SLOW_SECONDS:
            say(f"cell {cell}: a write took {took:.1f} s")

    def write_next(self, mount: Mount, cell: int) -> None:  # noqa: ARG002 -- as the others
        """One cell after another, so that what was lost is not written over by the next."""
        self.write(mount, sum(self.begun) % CELLS)

    def read(self, mount: Mount, cell: int) -> None:
        """What is opened after something was acknowledged has it."""
        least = self.acknowledged[cell]
        fd = os.open(mount.path / "file", os.O_RDONLY)
        try:
            (number,) = CELL.unpack(os.pread(fd, CELL.size, cell * APART))
        finally:
            os.close(fd)
        most = self.begun[cell]
        if not least <= number <= most:
            self.wrong.append(
                f"cell {cell}: read {number}; {least} was acknowledged, {most} is the last that was begun"
            )
        with self.reads.get_lock():
            self.reads.value += 1

    def start(self, work: Callable[[Mount, int], None], mount: Mount, cell: int) -> BaseProcess:
        """Do it again and again in a process of its own."""
        process = _FORK.Process(target=self._go_on, args=(work, mount, cell))
        process.start()
        return process

    def _go_on(self, work: Callable[[Mount, int], None], mount: Mount, cell: int) -> None:
        while not self.over.is_set():
            try:
                work(mount, cell)
            except OSError as error:
                self.wrong.append(f"cell {cell}: {work.__name__}: {error}")
                return
            self.over.wait(0.02)

    def end(self, works: list[BaseProcess]) -> None:
        """What was begun comes to its end, now that nothing fails."""
        self.over.set()
        for process in works:
            process.join(END_SECONDS)
            if process.exitcode != 0:
                self.wrong.append(f"{process.name}: {process.exitcode}: what was begun does not end")

    def trouble(self, seconds: float) -> None:
        """One after another, never two OSDs at once; the core too."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            kind = self.chance.choice(("kill", "pause", "cut", "part", "part and kill", "core"))
            self.troubles[kind] = self.troubles.get(kind, 0) + 1
            node = self.chance.choice(self.grid.far)
            say(f"{kind} {node.name}")
            self.fail(kind, node)
            say(f"{kind} {node.name} is over")
            time.sleep(self.chance.uniform(0.5, 3.0))

    def fail(self, kind: str, node: FarNode) -> None:
        """For a while."""
        match kind:
            case "kill":
                node.kill()
                time.sleep(self.chance.choice((0.0, 1.0, 4.0)))
                node.start()
            case "pause":
                node.signal(signal.SIGSTOP)
                time.sleep(self.chance.choice((0.3, 2.5, 5.0)))
                node.signal(signal.SIGCONT)
            case "cut" | "part":
                heal = node.wire.cut() if kind == "cut" else self.grid.part()
                time.sleep(self.chance.choice((0.5, 3.0, 6.0)))
                heal()
            case "part and kill":
                heal = self.grid.part()
                time.sleep(1.5)
                node.kill()
                time.sleep(self.chance.choice((0.0, 4.0)))
                heal()
                node.start()
            case _:
                self.grid.core.kill()
                time.sleep(self.chance.choice((0.0, 2.0)))
                self.grid.core.start()


@contextlib.contextmanager
def _begun(seed: int, *, planted: bool = False) -> Iterator[Run]:
    """A grid, a file on all its OSDs, nobody at work on it; at the end all is read by somebody new."""
    grid = PartedGrid(3, planted=PLANTED if planted else "")
    grid.start()
    policy = Policy(striping=Striping(APART * CELLS, 1), update=Update.QUORUM, replicas=3)
    grid.make_volume("faults", policy, mode=0o1777)
    seen = Run(grid, random.Random(seed))
    file = grid.mount("faults").path / "file"
    for _ in eventually(60.0):  # the MRC looks every few seconds which OSDs there are
        try:
            file.write_bytes(bytes(APART * CELLS))
            break
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    yield seen
    third = grid.mount("faults")
    for cell in range(CELLS):
        seen.read(third, cell)


def _faults(seed: int, seconds: float) -> Run:
    with _begun(seed) as seen:
        one, other = seen.grid.mounts[0], seen.grid.mount("faults")
        works = [
            seen.start(work, mount, cell)
            for cell in range(CELLS)
            for work, mount in ((seen.write, one), (seen.read, one), (seen.read, other))
        ]
        seen.trouble(seconds)
        seen.end(works)
    return seen


def _lost(*, planted: bool) -> Run:
    with _begun(0, planted=planted) as seen:
        mount = seen.grid.mounts[0]
        for _ in range(CELLS):
            seen.write_next(mount, 0)
        with seen.grid.bus() as bus:
            layout = MRCXati(bus).layout((mount.path / "file").stat().st_ino, ROOT)
        (primary,) = layout.replicas[layout.primary].osds
        node = next(node for node in seen.grid.far if node.name == primary)
        heal = seen.grid.part()
        writer = seen.start(seen.write_next, mount, 0)
        time.sleep(PROMISE_SECONDS / 2)  # it may serve as long as that
        node.kill()
        heal()
        seen.end([writer])
    return seen


def main() -> None:
    """Print a history; what runs ends with the name spaces."""
    words = sys.argv[1:]
    seen = _faults(int(words[1]), float(words[2])) if words[0] == "faults" else _lost(planted=words[1:] == ["planted"])
    history = History(list(seen.wrong), seen.writes.value, seen.reads.value, seen.troubles, round(seen.stall.value, 2))
    print(msgspec.json.encode(history).decode(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
