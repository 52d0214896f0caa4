# SPDX-License-Identifier: BSD-3-Clause
"""A real MRC that is killed again and again while clients change names: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid
from xos.common.errors import XosError
from xos.dixi.blocking import BlockingBus
from xos.xtreemfs.api import NOW, Access, Ask, Claim, Closed, Extent, Open, Row, Session
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import MRCXati

CLAIM = Claim("alice@demo", ("users@demo",), "users@demo")
WRITE = Open(Access.READ | Access.WRITE, create=True, exclusive=True, mode=0o644)
CLIENTS, KILLS, PATIENCE = 4, 3, 40.0


@pytest.fixture
def files() -> Iterator[FileGrid]:
    made = FileGrid(osds=1)
    try:
        made.start()
        yield made
    finally:
        made.remove()


class Client(threading.Thread):
    """Makes, grows, renames and removes files of its own, and asks again whenever it got no answer."""

    def __init__(self, bus: BlockingBus, number: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.mrc, self.over, self.me = MRCXati(bus), over, b"c%d" % number
        self.rng = random.Random(number)
        self.names: dict[bytes, tuple[int, int]] = {}
        self.number = self.done = 0
        self.failure: BaseException | None = None
        self.session: Session = self.mrc.begin("home", f"client {number}")

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.step()
        except BaseException as error:  # noqa: BLE001 -- the test raises it
            self.failure = error

    def persist(self, do: Callable[[Ask], Any]) -> Any:
        """The answer, however often it takes to ask by the same number."""
        self.number += 1
        ask, until = Ask(self.session.id, self.number, CLAIM), time.monotonic() + PATIENCE
        while True:
            try:
                answer = do(ask)
            except Refused:
                raise
            except XosError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)  # nobody tells when the daemon is back
            else:
                self.done += 1
                return answer

    def step(self) -> None:
        root, mrc = self.session.root.id, self.mrc
        name = self.me + b"-%d" % self.number
        if self.names and self.rng.random() < 0.3:
            old = self.rng.choice(sorted(self.names))
            self.persist(lambda ask: mrc.rename(root, old, root, name, 1, ask, deadline=5.0))
            self.names[name] = self.names.pop(old)
        elif self.names and self.rng.random() < 0.3:
            old = self.rng.choice(sorted(self.names))
            self.persist(lambda ask: mrc.unlink(root, old, ask, deadline=5.0))
            del self.names[old]
        else:
            opened = self.persist(lambda ask: mrc.open_name(root, name, WRITE, ask, deadline=5.0))
            size = self.rng.randrange(1, 1 << 40)
            self.persist(lambda ask: mrc.close([Closed(opened.handle, Extent(size, 0), NOW)], ask, deadline=5.0))
            self.names[name] = (opened.inode.id, size)


@pytest.mark.timeout(120)
def test_nothing_that_a_killed_mrc_acknowledged_is_lost_or_done_twice(files: FileGrid) -> None:
    files.make_volume(mode=0o777)
    over = threading.Event()
    with contextlib.ExitStack() as buses:  # one for each thread
        mrc = MRCXati(buses.enter_context(files.bus()))
        for _ in eventually(20):  # until it knows the OSD
            if mrc.space("home").total:
                break
        clients = [Client(buses.enter_context(files.bus()), number, over) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(KILLS):
            before = sum(client.done for client in clients)
            for _ in eventually(20):
                if sum(client.done for client in clients) > before + 100 or any(client.failure for client in clients):
                    break
            files.core.kill()
            files.core.start()
        over.set()
        for client in clients:
            client.join(60)
            assert client.failure is None
        found = {row.name: (row.inode.id, row.inode.size) for row in _all(mrc, clients[0].session.root.id)}
        assert found == {name: there for client in clients for name, there in client.names.items()}
        (volume,) = mrc.volumes()
        assert (volume.files, volume.used) == (len(found) + 1, sum(size for _, size in found.values()))


def _all(mrc: MRCXati, root: int) -> Iterator[Row]:
    after = 0
    while page := mrc.readdir(root, after, 100, CLAIM):
        yield from page
        after = page[-1].cookie
