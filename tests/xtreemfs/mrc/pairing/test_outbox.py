# SPDX-License-Identifier: BSD-3-Clause
"""What a primary may tell, and when: pure but for futures."""

from __future__ import annotations

import asyncio

import pytest

from xos.common.recording import Group
from xos.xtreemfs.api import MRC_PROMISE_SECONDS
from xos.xtreemfs.errors import NotServing, OutOfStep
from xos.xtreemfs.mrc.pairing import outbox, wire
from xos.xtreemfs.mrc.pairing.outbox import Outbox

GROUP = Group([("INSERT", (1,))], 1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def told(box: Outbox) -> bool:
    """Whether what is committed may be told now."""
    task = asyncio.ensure_future(box.settled())
    await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return done


def wants_sync(box: Outbox) -> bool:
    return box.wants_sync


async def test_one_that_is_alone_tells_at_once_and_one_with_a_backup_when_that_has_it() -> None:
    box = Outbox(7, strict=False, clock=Clock())
    box.attach()
    box.ship([GROUP])
    assert await told(box)
    box.be_strict()
    box.ship([GROUP])
    number = box.number()
    assert not await told(box)
    box.heard(number, 8)
    assert not await told(box)
    box.heard(number, 9)
    assert await told(box)


async def test_nothing_is_told_when_the_promise_has_run_out_and_it_counts_from_what_was_sent() -> None:
    clock = Clock()
    box = Outbox(0, strict=True, clock=clock)
    assert not await told(box)  # what the backup has is not known yet
    number = box.number()
    clock.now += 1.5
    box.heard(number, 0)
    assert await told(box)
    clock.now += MRC_PROMISE_SECONDS - 1.5
    assert not await told(box)
    box.heard(number, 0)  # the same again is no new promise
    assert not await told(box)
    box.heard(box.number(), 0)
    assert await told(box)


async def test_who_waits_goes_on_when_the_backup_is_struck_off_and_hears_when_another_serves() -> None:
    box = Outbox(0, strict=True, clock=Clock())
    box.ship([GROUP])
    waits = [asyncio.ensure_future(box.settled()), asyncio.ensure_future(box.synced())]
    await asyncio.sleep(0)
    box.be_alone()
    await asyncio.gather(*waits)
    box.be_strict()
    box.ship([GROUP])
    waits = [asyncio.ensure_future(box.settled()), asyncio.ensure_future(box.synced())]
    await asyncio.sleep(0)
    box.end(NotServing(node="a", whoever=""))
    assert all(isinstance(e, NotServing) for e in await asyncio.gather(*waits, return_exceptions=True))
    with pytest.raises(NotServing):
        await box.settled()


async def test_words_from_another_life_of_the_primary_are_not_heard() -> None:
    box = Outbox(5, strict=True, clock=Clock())
    for number in (0, 1, 1 << 60, -1):
        box.heard(number, 5)
    box.heard(box.number(), 6)  # of a position that is not
    assert not await told(box)


async def test_a_backup_goes_on_where_it_was_as_long_as_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_KEPT", 4)
    box = Outbox(0, strict=False, clock=Clock())
    box.ship([GROUP])  # nobody follows: not kept
    box.attach()
    assert [box.resumes(position) for position in (0, 1, 2)] == [False, True, False]
    box.ship([GROUP] * 4)
    assert [number for number, _ in box.after(1) or []] == [2, 3, 4, 5]
    assert [number for number, _ in box.after(4) or []] == [5]
    box.ship([GROUP])
    assert box.after(1) is None
    assert box.after(6) == []
    box.heard(box.number(), 6)
    assert box.resumes(6)
    assert not box.resumes(5)


async def test_a_sync_is_done_when_its_frame_is_heard_even_by_a_backup_that_came_back() -> None:
    box = Outbox(0, strict=True, clock=Clock())
    wait = asyncio.ensure_future(box.synced())
    await asyncio.sleep(0)
    assert wants_sync(box)
    lost = box.number(sync=True)
    assert not wants_sync(box)
    box.attach()  # it follows anew, and may not have heard it
    assert wants_sync(box)
    box.heard(lost, 0)
    done, _ = await asyncio.wait([wait], timeout=0.01)
    assert not done
    box.heard(box.number(sync=True), 0)
    await wait


def test_statements_go_over_as_they_are_and_their_text_once() -> None:
    writer, reader = wire.Writer(), wire.Reader()
    groups = [Group([("INSERT INTO t VALUES (?)", [b"\xff", 1 << 62, None, "ü", 0.5]), ("DELETE", {"n": b""})], 2)]
    first, again = writer.encode(groups), writer.encode(groups)
    assert reader.decode(first) == groups == reader.decode(again)
    assert len(again) < len(first) - 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\x92\x91\xa1\xff\x90",
        b"\x92\x90\x91\x92\0\x91\x92\5\xc0",
        b"\x92\x90\x91\x92\0\x91\x92\xff\xc0",
    ],
)
def test_a_frame_that_nobody_wrote_is_out_of_step(body: bytes) -> None:
    with pytest.raises(OutOfStep):
        wire.Reader().decode(body)
