# SPDX-License-Identifier: BSD-3-Clause
"""Replicated files on real OSDs, over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import msgspec
import pytest

from support.daemons import Node
from support.dixi import Grid, until
from support.osds import FILE, capability, connected, replicated
from xos.common.tls import Credential
from xos.dixi.errors import ConnectionLost, NotConnected
from xos.xtreemfs.api import Access, Update
from xos.xtreemfs.errors import BadCapability, NotPrimary, TooFewReplicas, UnknownFile
from xos.xtreemfs.osd.checksums import BLOCK

from .conftest import NAMES, Three


async def test_a_write_is_on_all_replicas_and_the_primary_reads_it(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    content = os.urandom(3 * BLOCK + 100)
    await osd.write(token, 50, content, 1)
    assert await osd.read(token, 50, len(content)) == content
    await osd.sync(token)
    await until(lambda: all(three.content(name)[50:] == content for name in NAMES))
    osd, token = await three.open("osd1", replicated(*NAMES), epoch=2)
    assert (await osd.truncate(token, 10)).extent.size == 10
    await until(lambda: all(len(three.content(name)) == 10 for name in NAMES))


async def test_an_mrc_is_told_by_whose_term_a_replica_is_up_to_date(three: Three) -> None:
    single, token = await three.open("osd1", msgspec.structs.replace(replicated("osd1"), update=Update.NONE, term=0))
    await single.write(token, 0, b"before", 1)
    signer = [three.client(name, three.pen) for name in NAMES]
    assert (await signer[0].state(FILE)).term == -1
    # As the MRC goes on from one replica to two: the one that has the bytes stays the primary.
    osd, token = await three.open("osd1", msgspec.structs.replace(replicated(*NAMES[:2], term=1), version=1))
    assert await osd.read(token, 0, 9) == b"before"
    states = [await each.state(FILE) for each in signer[:2]]
    assert [(state.term, state.size) for state in states] == [(1, 6), (1, 6)]


async def test_only_the_primary_serves(three: Three) -> None:
    osd, token = await three.open("osd2", replicated(*NAMES))
    for refused in (osd.write(token, 0, b"x", 1), osd.read(token, 0, 1), osd.truncate(token, 0), osd.sync(token)):
        with pytest.raises(NotPrimary):
            await refused


async def test_a_new_primary_takes_over_and_the_old_one_is_not_heard_any_more(three: Three) -> None:
    old, old_token = await three.open("osd1", replicated(*NAMES))
    await old.write(old_token, 0, b"first", 1)
    new, new_token = await three.open("osd2", replicated(*NAMES, primary=1, term=2))
    assert await new.read(new_token, 0, 9) == b"first"
    await new.write(new_token, 0, b"newer", 2)
    for refused in (old.write(old_token, 0, b"older", 3), old.read(old_token, 0, 9)):
        with pytest.raises(NotPrimary):
            await refused
    assert await new.read(new_token, 0, 9) == b"newer"


async def test_with_one_of_three_away_all_goes_on_and_it_catches_up_when_it_returns(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    await osd.write(token, 0, b"a" * BLOCK, 1)
    await three.stop("osd3")
    content = os.urandom(40 * BLOCK + 5)
    await osd.write(token, 10, content, 2)
    await osd.sync(token)
    assert await osd.read(token, 10, len(content)) == content
    await three.start("osd3")
    await until(lambda: three.content("osd3") == three.content("osd1"), 10.0)


async def test_without_a_majority_nothing_is_acknowledged(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    await osd.write(token, 0, b"x", 1)
    await three.stop("osd3")
    await three.stop("osd2")
    with pytest.raises(TooFewReplicas):
        await osd.write(token, 0, b"y", 2)
    await asyncio.sleep(0)
    await three.start("osd2")

    async def written() -> None:
        while True:
            with contextlib.suppress(TooFewReplicas):
                await osd.write(token, 0, b"z", 3)
                return

    async with asyncio.timeout(12):
        await written()
    assert await osd.read(token, 0, 1) == b"z"


async def test_write_all_needs_all(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES, update=Update.ALL))
    await osd.write(token, 0, b"x", 1)
    assert all(three.content(name) == b"x" for name in NAMES)
    await three.stop("osd3")
    with pytest.raises(TooFewReplicas):
        await osd.write(token, 0, b"y", 2)


async def test_a_replica_follows_only_the_primary_that_the_mrc_has_named(three: Three) -> None:
    layout = replicated(*NAMES)
    signed = capability(three.pen, "alice@demo", layout)
    for name in ("osd2", "osd3", "node9"):
        with pytest.raises(BadCapability):
            await three.client("osd3", three.grid.make_machine(name)).follow(signed)
    primary = three.client("osd3", three.grid.make_machine("osd1"))
    following = await primary.follow(signed)
    for refused in (primary.read(following.token, 0, 1), primary.write(following.token, 0, b"x", 1)):
        with pytest.raises(BadCapability):
            await refused  # it may replicate, but it is not whom the file is opened for
    other = msgspec.structs.replace(layout, update=Update.NONE)
    with pytest.raises(BadCapability):
        await primary.follow(capability(three.pen, "alice@demo", other))


async def test_a_machine_that_mounts_and_is_a_replica_too_reads_from_the_primary_only(three: Three) -> None:
    osd = three.client("osd3", three.grid.make_machine("osd1"))
    signed = capability(three.pen, "osd1", replicated(*NAMES), access=Access.READ)
    token = (await osd.present(signed)).token
    with pytest.raises(NotPrimary):
        await osd.read(token, 0, 1)


def damage(three: Three, name: str, offset: int) -> None:
    """Bytes on its disk that nobody wrote."""
    (data,) = (three.place / name).glob("data/OSD/shares/*/*.data")
    with data.open("r+b") as file:
        file.seek(offset)
        file.write(b"damage")


async def test_what_is_damaged_on_the_primary_is_taken_from_another_replica(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    content = os.urandom(3 * BLOCK)
    await osd.write(token, 0, content, 1)
    await osd.sync(token)
    damage(three, "osd1", BLOCK + 7)
    assert await osd.read(token, 0, 3 * BLOCK) == content
    damage(three, "osd1", 2 * BLOCK + 7)
    await osd.write(token, 2 * BLOCK, b"new", 2)  # which looks at no other bytes of the block
    assert await osd.read(token, 2 * BLOCK, 4) == b"new" + content[2 * BLOCK + 3 : 2 * BLOCK + 4]
    assert three.content("osd1") == content[: 2 * BLOCK] + b"new" + content[2 * BLOCK + 3 :]


async def test_what_is_damaged_on_another_replica_is_taken_from_the_primary(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    await osd.write(token, 0, os.urandom(3 * BLOCK - 10), 1)
    await osd.sync(token)
    damage(three, "osd3", 2 * BLOCK + 7)
    await osd.truncate(token, 4 * BLOCK)
    await until(lambda: three.content("osd3") == three.content("osd1"), 10.0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [2 * BLOCK + 100, 2 * BLOCK + 5000])
async def test_a_replica_that_is_damaged_where_the_file_is_cut_joins_again(three: Three, size: int) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    content = os.urandom(5 * BLOCK)
    await osd.write(token, 0, content, 1)
    await osd.sync(token)
    await until(lambda: all(three.content(name) == content for name in NAMES), 25.0)
    damage(three, "osd3", 2 * BLOCK + 1000)
    osd, token = await three.open("osd1", replicated(*NAMES), epoch=2)
    await osd.truncate(token, size)
    await osd.write(token, 0, b"after", 2)
    await until(lambda: len(three.content("osd3")) == size and three.content("osd3")[:5] == b"after", 25.0)
    await osd.truncate(token, size - 50)  # which looks at the block again
    await until(lambda: three.content("osd3") == three.content("osd1"), 25.0)


async def test_deleted_everywhere_it_is_gone(three: Three) -> None:
    osd, token = await three.open("osd1", replicated(*NAMES))
    await osd.write(token, 0, b"x", 1)
    for name in NAMES:
        signer = three.client(name, three.pen)
        await signer.delete([FILE])
        with pytest.raises(UnknownFile):
            await signer.state(FILE)


@pytest.mark.timeout(60)
async def test_a_killed_primary_stalls_a_writer_for_less_than_five_seconds_and_loses_nothing(
    grid: Grid, mrc: Credential
) -> None:
    core = Node(grid, "core", "[services.Directory]\n")
    core.start()
    mrcs = '[services.OSD]\n[services.OSD.settings]\nmrcs = ["mrc*"]\n'
    nodes = [Node(grid, name, mrcs, directory=core.address) for name in NAMES]
    try:
        for node in nodes:
            node.start()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(node.address, grid)) for node in nodes]
            token = (await clients[0].present(capability(mrc, "alice@demo", replicated(*NAMES)))).token
            for number in range(50):
                await clients[0].write(token, number * 100, b"%d" % number, number)
            assert nodes[0].process is not None
            nodes[0].process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            with pytest.raises((ConnectionLost, NotConnected)):
                await clients[0].write(token, 0, b"x", 50, deadline=2.0)
            layout = replicated(*NAMES, primary=1, term=2)
            token = (await clients[1].present(capability(mrc, "alice@demo", layout))).token
            await clients[1].write(token, 50 * 100, b"50", 51)
            assert time.monotonic() - killed < 20.0  # below 5 on a machine that is not busy
            for number in range(51):
                assert await clients[1].read(token, number * 100, 2) == (b"%d" % number).ljust(2, b"\0")[:2]
    finally:
        for node in (*nodes, core):
            node.kill()
