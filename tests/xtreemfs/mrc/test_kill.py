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
from xos.common.signing import Signed
from xos.dixi.blocking import BlockingBus
from xos.xtreemfs.api import NOW, Access, Applied, Ask, Claim, Closed, Extent, Gone, Lease, Made, Open, Row, Session
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import MRCXati

CLAIM = Claim("alice@demo", ("users@demo",), "users@demo")
WRITE = Open(Access.READ | Access.WRITE, create=True, exclusive=True, mode=0o644)
CLIENTS, HOLDERS, KILLS, PATIENCE = 4, 2, 3, 40.0


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


class Holder(Client):
    """Has a directory of its own leased, and tells batches of what it made and removed there."""

    def __init__(self, bus: BlockingBus, number: int, over: threading.Event) -> None:
        super().__init__(bus, number, over)
        self.home = self.persist(
            lambda ask: self.mrc.create(self.session.root.id, self.me, 0o40755, 0, None, ask, deadline=5.0)
        ).id
        self.lease: Lease | None = None
        self.free: list[tuple[int, Signed]] = []

    def take(self) -> tuple[int, Signed]:
        """A number for a file."""
        if self.lease is None:
            self.lease = self.persist(lambda ask: self.mrc.lease(self.home, ask, deadline=5.0))
        assert self.lease is not None
        if not self.free:
            lease = self.lease.id
            reserve = self.persist(lambda ask: self.mrc.reserve(lease, ask, deadline=5.0))
            assert reserve is not None
            self.free = [(reserve.first + at, reserve.capability) for at in range(reserve.count)]
        return self.free.pop()

    def step(self) -> None:
        changes: list[Applied] = []
        shown: list[Signed] = []
        now = time.time_ns()
        for at in range(self.rng.randrange(1, 20)):
            if self.names and self.rng.random() < 0.4:
                old = self.rng.choice(sorted(self.names))
                inode, _ = self.names.pop(old)
                changes.append(Applied(gone=Gone(self.home, old, inode, now, CLAIM)))
                continue
            name, size, (inode, signed) = b"%d-%d" % (self.number, at), self.rng.randrange(1, 1 << 40), self.take()
            shown += [] if signed in shown else [signed]
            made = Made(self.home, name, inode, 0o644, now, CLAIM, shown.index(signed), Extent(size, 0), now)
            changes.append(Applied(made=made))
            self.names[name] = (inode, size)
        outcomes = self.persist(lambda ask: self.mrc.apply(changes, shown, [], ask, deadline=5.0))
        assert [outcome.errno for outcome in outcomes] == [0] * len(changes)


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
        holders = [Holder(buses.enter_context(files.bus()), CLIENTS + number, over) for number in range(HOLDERS)]
        clients += holders
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
        for holder in holders:  # they give nothing back, and are not heard any more
            assert _found(mrc, holder.home) == holder.names
        found = _found(mrc, clients[0].session.root.id)
        assert found == {name: there for client in clients[:CLIENTS] for name, there in client.names.items()}
        for holder in holders:
            found |= {holder.me + name: there for name, there in holder.names.items()}
        (volume,) = mrc.volumes()
        assert (volume.files, volume.used) == (len(found) + 1 + HOLDERS, sum(size for _, size in found.values()))


def _found(mrc: MRCXati, directory: int) -> dict[bytes, tuple[int, int]]:
    """Number and size of the files in a directory, by name."""
    return {row.name: (row.inode.id, row.inode.size) for row in _all(mrc, directory) if not row.inode.is_directory}


def _all(mrc: MRCXati, root: int) -> Iterator[Row]:
    after = 0
    while page := mrc.readdir(root, after, 100, CLAIM):
        yield from page
        after = page[-1].cookie
