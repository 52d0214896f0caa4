# SPDX-License-Identifier: BSD-3-Clause
"""A file system whose MRC has a backup: a core with the DIR, two machines with an MRC each, OSDs; all real daemons."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from support.daemons import Node, eventually
from support.filegrid import ROOT, FileGrid
from xos.dixi.blocking import BlockingBus
from xos.xtreemfs.api import Ask, Pair, Policy, Standing
from xos.xtreemfs.xati import DIRXati, MRCXati

CORE = '[services.Directory]\n[services.DIR]\n[services.DIR.settings]\nmrcs = ["mrc1", "mrc2"]\n'
MRC = '[services.MRC]\n[services.MRC.settings]\nsuperusers = ["core"]\n'
OSD = '[services.OSD]\n[services.OSD.settings]\nmrcs = ["mrc1", "mrc2"]\n'


class PairGrid(FileGrid):
    """``mrc1`` is the primary at first, ``mrc2`` its backup."""

    def __init__(self, osds: int = 1) -> None:
        super().__init__(0)
        self.core.remove()
        self.core = Node(self.grid, "core", CORE)
        address = self.core.address
        self.mrcs = {name: Node(self.grid, name, MRC, directory=address) for name in ("mrc1", "mrc2")}
        self.osds = [Node(self.grid, f"osd{n + 1}", OSD, directory=address) for n in range(osds)]

    @property
    def nodes(self) -> list[Node]:
        return [self.core, *self.mrcs.values(), *self.osds]

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        with self.bus() as bus:
            for _ in eventually(30.0):
                if len(DIRXati(bus).services("")) == len(self.osds) + len(self.mrcs):
                    break

    def join(self) -> Pair:
        """Give mrc1 its backup, and wait until that has everything."""
        with self.bus() as bus:
            DIRXati(bus).set_backup("mrc1", "mrc2")
            return self.in_step(bus)

    def in_step(self, bus: BlockingBus, primary: str | None = None, seconds: float = 60.0) -> Pair:
        """Wait until the backup (of *primary*) has everything."""
        for _ in eventually(seconds):
            (pair,) = DIRXati(bus).pairs()
            if pair.synced and primary in (None, pair.primary):
                break
        return pair

    def standing(self, bus: BlockingBus, node: str) -> Standing:
        return MRCXati(bus, node).standing(deadline=20.0)

    def make_volume(self, name: str = "home", policy: Policy | None = None, mode: int = 0o777) -> None:
        with self.bus() as bus:
            for _ in eventually(30.0):
                served = [pair.primary for pair in DIRXati(bus).pairs()] or ["mrc1"]
                made = MRCXati(bus, served[0]).make_volume(name, mode, policy or Policy(), 0, Ask(claim=ROOT))
                assert made.name == name
                break
            for _ in eventually(30.0):
                if any(volume.name == name for volume in DIRXati(bus).volumes()):
                    break

    def pause(self, node: Node) -> None:
        """SIGSTOP: it keeps its connections and says nothing."""
        assert node.process is not None
        node.process.send_signal(signal.SIGSTOP)

    def resume(self, node: Node) -> None:
        assert node.process is not None
        node.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def pair_grid(osds: int = 1) -> Iterator[PairGrid]:
    """A grid that is up, with a volume ``home`` and its MRC in step with its backup."""
    made = PairGrid(osds)
    try:
        made.start()
        made.make_volume()
        made.join()
        yield made
    finally:
        made.remove()
