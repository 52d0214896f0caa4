# SPDX-License-Identifier: BSD-3-Clause
"""Two MRCs: a lease, and what is made under it, go on when the other one serves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from support.dixi import Grid, make_grid
from support.pairnet import CLAIM, Bus, Net, pair_net
from xos.xtreemfs.api import Applied, Ask, Extent, Lease, Made, ServiceRecord, Session
from xos.xtreemfs.xati import DIRAsync

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


async def _leased(net: Net, session: Session) -> Lease:
    async def ask() -> Lease | None:
        lease = await net.mrc("a").lease(session.root.id, Ask(session.id, 0, CLAIM), deadline=20.0)
        return lease if lease is not None and lease.reserve is not None else None

    found: Lease = await net.until(ask)
    return found


async def test_a_lease_and_what_was_told_under_it_outlive_the_primary(grid: Grid, tmp_path: Path) -> None:
    async with pair_net(grid, tmp_path) as net:
        await DIRAsync(Bus(net, "client")).register(ServiceRecord("OSD", "client", 1 << 40, 1 << 39), [])
        session = await net.mrc("a").begin("home", "a holder", deadline=20.0)
        other = await net.mrc("a").begin("home", "another", deadline=20.0)
        lease = await _leased(net, session)
        assert lease.reserve is not None
        first, shown = lease.reserve.first, [lease.reserve.capability]

        def batch(number: int) -> list[Applied]:
            now = time.time_ns()
            made = Made(session.root.id, b"f%d" % number, first + number, 0o644, now, CLAIM, 0, Extent(number, 0), now)
            return [Applied(made=made)]

        one, two = batch(1), batch(2)
        told = await net.mrc("a").apply(one, shown, [], Ask(session.id, 1, CLAIM), False, deadline=20.0)
        await net.end("a")
        await net.serves("b")
        mrc = net.mrc("b")
        assert await mrc.hold(session.id, [lease.id], deadline=20.0) == [lease.id]
        assert await mrc.apply(one, shown, [], Ask(session.id, 1, CLAIM), False, deadline=20.0) == told
        looking = asyncio.create_task(mrc.readdir(session.root.id, 0, 10, CLAIM, other.id, deadline=20.0))
        await asyncio.sleep(0.1)
        assert not looking.done()
        # The reserve was signed by the other one.
        (outcome,) = await mrc.apply(two, shown, [lease.id], Ask(session.id, 2, CLAIM), False, deadline=20.0)
        assert outcome.errno == 0
        assert [row.name for row in await looking] == [b"f1", b"f2"]
        fresh = await mrc.create(session.root.id, b"d", 0o40755, 0, None, Ask(other.id, 1, CLAIM), deadline=20.0)
        assert fresh.id >= first + lease.reserve.count  # numbers of the reserve are nobody else's
