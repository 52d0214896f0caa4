# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots at an OSD: what is kept, what is shown, who may still write, what is freed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.osds import FILE, SINGLE, replicated
from xos.common.signing import Signed
from xos.dixi.errors import NotAllowed
from xos.xtreemfs.api import Access, Layout, Replica, Striping, Update
from xos.xtreemfs.errors import BadCapability, BadFileId, OsdFull, UnknownFile
from xos.xtreemfs.osd.checksums import BLOCK
from xos.xtreemfs.osd.share import Share
from xos.xtreemfs.osd.snapshots import Known, Snapshots, split
from xos.xtreemfs.osd.store import ShareStore
from xos.xtreemfs.xati import OSDAsync

from .conftest import One, Three

FROZEN = msgspec.structs.replace(SINGLE, update=Update.READ_ONLY)


def shown(osd: One, number: int, *, as_: str = "snap", layout: Layout = FROZEN) -> Signed:
    """To read `FILE` as a snapshot of that number has it."""
    change: dict[str, Any] = {"file_id": f"{as_}{number}-1", "origin": FILE, "snapshot": number, "access": Access.READ}
    return osd.capability(layout, **change)


async def read(osd: One, number: int) -> bytes:
    signed = shown(osd, number)
    return await osd.user.read((await osd.user.present(signed)).token, 0, 100, signed)


async def write(osd: One, content: bytes, number: int, offset: int = 0) -> None:
    signed = osd.capability(snapshot=number)
    await osd.user.write((await osd.user.present(signed)).token, offset, content, 1, signed)


def kept(osd: One) -> set[str]:
    return {path.stem for path in osd.data.glob("shares/*/*.data")}


async def test_a_snapshot_shows_what_was_there_whatever_is_written_truncated_or_deleted_later(osd: One) -> None:
    await write(osd, b"one", 0)
    assert await osd.mrc.snapshots("demo", 1, [1]) == 1
    assert await read(osd, 1) == b"one"
    await write(osd, b"three", 1)
    assert await read(osd, 1) == b"one"
    await osd.mrc.snapshots("demo", 2, [1, 2])
    token = (await osd.user.present(osd.capability(snapshot=2))).token
    await osd.user.truncate(token, 2)
    assert [await read(osd, 1), await read(osd, 2)] == [b"one", b"three"]
    await osd.mrc.snapshots("demo", 3, [1, 2, 3])
    await osd.mrc.delete([FILE])
    assert [await read(osd, number) for number in (1, 2, 3)] == [b"one", b"three", b"th"]


async def test_what_no_snapshot_shows_any_more_is_freed(osd: One) -> None:
    for number, content in enumerate((b"0", b"1", b"2")):
        await osd.mrc.snapshots("demo", number, list(range(1, number + 1)))
        await write(osd, content, number)
    assert kept(osd) == {FILE, f"{FILE}-1", f"{FILE}-2"}
    await osd.mrc.snapshots("demo", 3, [2])
    assert kept(osd) == {FILE, f"{FILE}-2"}
    assert await read(osd, 2) == b"1"
    await osd.mrc.snapshots("demo", 4, [])
    assert kept(osd) == {FILE}
    await osd.mrc.delete([FILE])
    assert kept(osd) == set()


async def test_snapshots_between_which_nothing_was_written_share_what_is_kept(osd: One) -> None:
    await write(osd, b"0", 0)
    for number in (1, 2, 3):
        await osd.mrc.snapshots("demo", number, list(range(1, number + 1)))
    await write(osd, b"3", 3)
    assert kept(osd) == {FILE, f"{FILE}-3"}
    assert [await read(osd, number) for number in (1, 2, 3)] == [b"0", b"0", b"0"]
    await osd.mrc.snapshots("demo", 4, [1])
    assert await read(osd, 1) == b"0"


async def test_what_was_made_after_a_snapshot_is_empty_in_it(osd: One) -> None:
    await osd.mrc.snapshots("demo", 1, [1])
    await write(osd, b"later", 1)
    assert await read(osd, 1) == b""
    await osd.mrc.snapshots("demo", 2, [1, 2])
    await write(osd, b"again", 2)
    assert [await read(osd, 1), await read(osd, 2)] == [b"", b"later"]


async def test_nobody_writes_by_a_capability_from_before_a_snapshot(osd: One) -> None:
    old = osd.capability()
    token = (await osd.user.present(old)).token
    await osd.user.write(token, 0, b"a", 1)
    await osd.mrc.snapshots("demo", 1, [1])
    for call in (osd.user.write(token, 0, b"b", 2), osd.user.truncate(token, 0)):
        with pytest.raises(BadCapability, match="before a snapshot"):
            await call
    assert await osd.user.read(token, 0, 1) == b"a"


async def test_what_is_told_late_or_twice_changes_nothing(osd: One) -> None:
    await write(osd, b"0", 0)
    assert await osd.mrc.snapshots("demo", 2, [1, 2]) == 2
    await write(osd, b"2", 2)
    assert await osd.mrc.snapshots("demo", 1, []) == 2
    assert await osd.mrc.snapshots("demo", 2, [1, 2]) == 2
    assert await read(osd, 2) == b"0"


async def test_only_mrcs_say_which_snapshots_there_are_and_only_of_what_can_be_a_volume(osd: One) -> None:
    with pytest.raises(NotAllowed):
        await osd.user.snapshots("demo", 1, [])
    for name in ("", "../etc", "a/b", "x" * 65, "A"):
        with pytest.raises(BadFileId):
            await osd.mrc.snapshots(name, 1, [])


async def test_a_write_that_is_under_way_is_waited_for(osd: One) -> None:
    await write(osd, b"0" * 100, 0)
    signed = osd.capability()
    token = (await osd.user.present(signed)).token
    async with asyncio.TaskGroup() as tasks:
        writes = [tasks.create_task(_written(osd, token, at, signed)) for at in range(50)]
        told = tasks.create_task(osd.mrc.snapshots("demo", 1, [1]))
    assert told.result() == 1
    before = await read(osd, 1)
    done = {at for at, task in enumerate(writes) if task.result()}
    assert {at for at in range(50) if before[at : at + 1] == b"1"} == done


async def _written(osd: One, token: bytes, at: int, signed: Signed) -> bool:
    try:
        await osd.user.write(token, at, b"1", at, signed)
    except BadCapability:
        return False
    return True


async def test_a_state_is_told_as_a_snapshot_shows_it(osd: One) -> None:
    await write(osd, b"0123", 0)
    await osd.mrc.snapshots("demo", 1, [1])
    await write(osd, b"456789", 1)
    assert (await osd.mrc.state(FILE, 1)).size == 4
    assert (await osd.mrc.state(FILE)).size == 6
    with pytest.raises(UnknownFile):
        await osd.mrc.state("demo-2", 1)


def test_known_snapshots_outlive_the_osd(tmp_path: Path) -> None:
    first = Snapshots(tmp_path)
    assert first.tell("demo", Known(3, (1, 3)))
    again = Snapshots(tmp_path)
    assert again.known("demo") == Known(3, (1, 3))
    assert not again.tell("demo", Known(3, ()))
    assert again.wanted("demo-1", 1, 3)
    assert not again.wanted("demo-1", 1, 2)
    assert again.wanted("demo-1", 3, 4)  # a snapshot that was not heard of yet


@pytest.mark.parametrize("name", ["demo-1f", "demo", "", "-", "--", "a-b-zz", "demo-1f-x"])
def test_what_is_no_kept_share_is_taken_for_a_file(name: str) -> None:
    assert split(name) == (name, 0)
    assert split("demo-1f-a") == ("demo-1f", 10)


def test_a_copy_has_content_sums_and_holes_of_its_source(tmp_path: Path) -> None:
    share = Share("demo-1", tmp_path / "a.data", tmp_path / "a.sums", create=True)
    share.write(100 * BLOCK + 5, b"end")
    share.write(3, b"begin")
    share.copy_to(tmp_path / "b.data", tmp_path / "b.sums")
    copy = Share("demo-1", tmp_path / "b.data", tmp_path / "b.sums", create=False)
    assert copy.state == share.state
    assert copy.read(0, 100) == share.read(0, 100)
    assert copy.read(100 * BLOCK, 10) == bytes(5) + b"end"
    assert (tmp_path / "b.data").stat().st_blocks <= (tmp_path / "a.data").stat().st_blocks + 8
    for one in (share, copy):
        one.close()
    assert not list(tmp_path.glob("*.draft"))


def test_damage_is_copied_with_its_sum_and_still_found(tmp_path: Path) -> None:
    store = ShareStore(tmp_path)
    with store.share("demo-1", create=True) as share:
        share.write(0, b"sound")
        share.sync()
    (place,) = tmp_path.glob("shares/*/demo-1.data")
    place.write_bytes(b"wrong")
    store.freeze("demo-1", 1)
    assert store.shown("demo-1", 1) == "demo-1-1"
    assert [sound for _, sound in store.scrub("demo-1-1")] == [False]
    store.close()


def test_what_cannot_be_kept_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ShareStore(tmp_path)
    with store.share("demo-1", create=True) as share:
        share.write(0, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xos.xtreemfs.osd.cloning._fill", full)
    with pytest.raises(OsdFull):
        store.freeze("demo-1", 1)
    assert store.shown("demo-1", 1) == "demo-1"
    assert not list(tmp_path.glob("shares/*/*.draft"))
    store.close()


def test_a_copy_that_a_crash_left_unfinished_is_removed(tmp_path: Path) -> None:
    store = ShareStore(tmp_path)
    store.close()
    draft = tmp_path / "shares/00/demo-1-1.data.draft"
    draft.touch()
    ShareStore(tmp_path).close()
    assert not draft.exists()


# --- replicas

WRITTEN = replicated("osd1", "osd2", "osd3")
SHOWN = Layout(
    Striping(), tuple(Replica((name,), complete=name == "osd1") for name in ("osd1", "osd2", "osd3")), Update.READ_ONLY
)


async def tell(three: Three, number: int, there: list[int]) -> None:
    for name in three.daemons:
        assert await three.client(name, three.pen).snapshots("demo", number, there, deadline=8.0) == number


async def read_at(three: Three, name: str, number: int) -> bytes:
    """What a replica shows of a snapshot."""
    change: dict[str, Any] = {"file_id": f"snap{number}-1", "origin": FILE, "snapshot": number, "access": Access.READ}
    osd, token = await three.open(name, SHOWN, **change)
    return await osd.read(token, 0, 1000, deadline=15.0)


async def test_all_replicas_keep_the_same_at_the_same_step(three: Three) -> None:
    osd, token = await three.open("osd1", WRITTEN)
    await osd.write(token, 0, b"before", 1, deadline=15.0)
    await same_step(three)  # one that joins later has nothing of what was before
    await tell(three, 1, [1])
    osd, token = await three.open("osd1", WRITTEN, snapshot=1)
    await osd.write(token, 0, b"after!", 2, deadline=15.0)
    await osd.sync(token, deadline=15.0)
    await same_step(three)
    assert [await read_at(three, name, 1) for name in three.daemons] == [b"before"] * 3
    places = [list((three.place / name).glob("data/OSD/shares/*/*.data")) for name in three.daemons]
    assert not [path for found in places for path in found if path.name.startswith("snap")]  # nothing was copied


async def same_step(three: Three) -> None:
    """A majority has it; the third one in a moment, which may have no share of the file at first."""
    states: set[tuple[int, int] | None] = set()
    async with asyncio.timeout(15.0):
        while len(states) != 1 or None in states:
            await asyncio.sleep(0.01)
            states = {await step(three.client(name, three.pen)) for name in three.daemons}


async def step(osd: OSDAsync) -> tuple[int, int] | None:
    try:
        state = await osd.state(FILE)
    except UnknownFile:
        return None
    return state.term, state.version


@pytest.mark.timeout(60)
async def test_a_replica_that_was_away_shows_of_a_snapshot_what_the_others_have(three: Three) -> None:
    osd, token = await three.open("osd1", WRITTEN)
    await osd.write(token, 0, b"first", 1, deadline=15.0)
    await osd.sync(token, deadline=15.0)
    await three.stop("osd3")
    await osd.write(token, 0, b"second", 2, deadline=15.0)
    await tell(three, 1, [1])
    osd, token = await three.open("osd1", WRITTEN, snapshot=1)
    await osd.write(token, 0, b"third!", 3, deadline=15.0)
    await three.start("osd3")
    await three.client("osd3", three.pen).snapshots("demo", 1, [1], deadline=8.0)
    assert await read_at(three, "osd3", 1) == b"second"
    assert [await read_at(three, name, 1) for name in ("osd1", "osd2")] == [b"second"] * 2
    async with asyncio.timeout(40):
        while (await three.client("osd3", three.pen).state(FILE, deadline=8.0)).version != 3:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.2)
    assert await read_at(three, "osd3", 1) == b"second"
    assert await osd.read(token, 0, 100, deadline=15.0) == b"third!"


async def test_a_new_primary_keeps_what_a_snapshot_shows_although_it_lacked_some(three: Three) -> None:
    osd, token = await three.open("osd1", WRITTEN)
    await osd.write(token, 0, b"first", 1, deadline=15.0)
    await tell(three, 1, [1])
    second = replicated("osd1", "osd2", "osd3", primary=1, term=2)
    osd, token = await three.open("osd2", second, snapshot=1)
    await osd.write(token, 0, b"later", 1, deadline=15.0)
    await osd.sync(token, deadline=15.0)
    assert [await read_at(three, name, 1) for name in three.daemons] == [b"first"] * 3
