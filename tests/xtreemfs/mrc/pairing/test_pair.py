# SPDX-License-Identifier: BSD-3-Clause
"""Two MRCs and a DIR: whoever is parted from whom, one serves at most, and it has all that was acknowledged."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.dixi import Grid, make_grid
from support.pairnet import Net, Writer, pair_net, refused, unanswered
from xos.xtreemfs.api import MRC_PROMISE_SECONDS
from xos.xtreemfs.errors import NotServing
from xos.xtreemfs.mrc.pairing.outbox import Outbox

pytestmark = pytest.mark.timeout(180)  # they wait for each other's silence, on a machine that may be busy


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
async def net(grid: Grid, tmp_path: Path) -> AsyncIterator[Net]:
    async with pair_net(grid, tmp_path) as made:
        yield made


@pytest.fixture
async def writer(net: Net) -> Writer:
    made = Writer(net)
    await made.begin("a")
    return made


async def test_a_backup_serves_nobody_and_has_what_was_acknowledged_when_the_primary_ends(
    net: Net, writer: Writer
) -> None:
    for _ in range(20):
        await writer.make("a")
    with pytest.raises(NotServing, match="that of a does"):
        await net.mrc("b").volumes()
    await net.end("a")
    await net.serves("b")
    assert await writer.missing("b") == []
    assert (await net.dir.volume("home")).mrc == ("b", "a")
    again = await writer.make("b", number=20)  # asked once more, done once: answers are at the backup too
    assert again in await writer.names("b")
    await writer.make("b")
    await net.mrc("b").keep(writer.session.id)  # the session lives on
    assert await writer.missing("b") == []


async def test_one_that_comes_back_gets_a_copy_and_may_take_over_in_its_turn(net: Net, writer: Writer) -> None:
    await writer.make("a")
    await net.end("a")
    await net.serves("b")
    for _ in range(50):
        await writer.make("b")
    await net.start("a")
    assert (await net.in_step("b")).term == 2
    await writer.make("b")
    await net.end("b")
    await net.serves("a")
    assert (await net.pair()).term == 3
    assert await writer.missing("a") == []


async def test_a_primary_that_is_parted_from_its_backup_goes_on_alone_and_the_backup_catches_up(
    net: Net, writer: Writer
) -> None:
    net.part("a-b")
    await writer.make("a", 60.0)
    pair = await net.pair()
    assert (pair.primary, pair.synced) == ("a", False)
    net.mend()
    await net.in_step("a")
    await net.end("a")
    await net.serves("b")
    assert await writer.missing("b") == []


async def test_while_the_dir_is_away_both_go_on(net: Net, writer: Writer) -> None:
    await net.end("core")
    for _ in range(5):
        await writer.make("a")
    await net.start("core")
    pair = await net.pair()
    assert (pair.primary, pair.synced) == ("a", True)
    await net.end("a")
    await net.serves("b")
    assert await writer.missing("b") == []


async def test_a_primary_parted_from_all_others_acknowledges_nothing_and_answers_nothing_old(
    net: Net, writer: Writer
) -> None:
    await writer.make("a")
    net.part("a-b", "a-core")
    assert await unanswered(writer.make("a", 1.0))  # the client still reaches it
    await net.serves("b")
    await writer.make("b")
    # It may not know yet; but its backup has served since after the promise to it had run out.
    assert await unanswered(writer.names("a", 1.0))
    assert await unanswered(writer.make("a", 1.0))
    assert await unanswered(net.mrc("a").keep(writer.session.id, deadline=1.0))
    net.mend()
    await net.in_step("b")
    assert (await net.mrc("a").standing()).serves is False
    assert await writer.missing("b") == []


async def test_a_bug_that_acknowledges_before_the_backup_has_it_is_found(
    net: Net, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_: Outbox) -> None:
        return

    monkeypatch.setattr(Outbox, "settled", at_once)
    net.part("a-b", "a-core")
    name = await writer.make("a")
    await net.serves("b")
    assert await writer.missing("b") == [name]


async def test_a_primary_that_is_back_before_anybody_took_over_goes_on(net: Net, writer: Writer) -> None:
    await writer.make("a")
    net.part("b-core")
    await net.end("a")
    await net.start("a")
    await net.serves("a")
    await writer.make("a", 60.0)
    net.mend()
    pair = await net.in_step("a")
    assert pair.term == 1
    assert await writer.missing("a") == []


async def test_when_both_end_the_one_serves_that_the_dir_names(net: Net, writer: Writer) -> None:
    await writer.make("a")
    await net.end("b")
    await writer.make("a", 60.0)  # struck off
    await net.end("a")
    await net.start("b")
    await asyncio.sleep(2 * MRC_PROMISE_SECONDS)  # it lacks something: it must not serve, however long this lasts
    assert not (await net.mrc("b").standing()).serves
    await net.start("a")
    await net.serves("a")
    assert await writer.missing("a") == []
    await net.in_step("a")


async def test_a_backup_that_is_taken_away_serves_no_more(net: Net, writer: Writer) -> None:
    assert await net.dir.set_backup("a", "") is not None
    await writer.make("a", 60.0)
    await net.end("b")
    await writer.make("a", 60.0)
    await net.start("b")
    assert await unanswered(net.mrc("b").volumes())
    assert await net.dir.set_backup("a", "b") is not None
    await net.in_step("a")
    assert await writer.missing("a") == []


async def test_who_may_be_a_backup(net: Net) -> None:
    assert await refused(net.dir.set_backup("b", "a")) == errno.ENOTEMPTY
    assert await refused(net.dir.set_backup("a", "a")) == errno.ENOENT
    assert await refused(net.dir.set_backup("a", "c")) == errno.ENOENT
    assert await refused(net.dir.take_over((await net.pair()).version)) == errno.ESTALE  # core is no backup
    assert await refused(net.dir.set_synced(1, "b", synced=True)) == errno.ESTALE
    assert await refused(net.mrc("a").followed(1, 1)) == errno.EACCES
