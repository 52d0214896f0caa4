# SPDX-License-Identifier: BSD-3-Clause
"""One capability for several files: each is admitted, fenced, deleted and forgotten by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.dixi import Grid, make_grid
from support.osds import SINGLE, address_of, capability, configured, connected, replicated, running
from xos.common.errors import XosError
from xos.common.signing import Signed
from xos.common.tls import Credential
from xos.xtreemfs.api import (
    MOST_BEGINNINGS,
    MOST_BYTES,
    Access,
    Beginning,
    Extent,
    Inode,
    Opened,
    Written,
    token_in,
    token_of,
)
from xos.xtreemfs.api.leases import MOST_RESERVED
from xos.xtreemfs.client.grants import Grant, Osds, Right, Shown
from xos.xtreemfs.errors import BadCapability, BadParts, PieceTooLarge, UnknownToken
from xos.xtreemfs.osd.admission import Admission
from xos.xtreemfs.xati import OSDAsync

from .conftest import One

FIRST, COUNT = 0x2F, 20
RANGE: dict[str, Any] = {"file_id": f"demo-{FIRST:x}", "count": COUNT}


def token_at(signed: Signed, inode: int) -> bytes:
    return token_in(token_of(signed, "alice@demo"), inode)


async def test_one_capability_writes_and_reads_many_files(osd: One) -> None:
    signed = osd.capability(**RANGE)
    for inode in (FIRST + 1, FIRST, FIRST + COUNT - 1):
        shown = signed if inode == FIRST + 1 else None
        assert (await osd.user.write(token_at(signed, inode), 0, b"%x" % inode, 1, shown)).extent == Extent(2, 1)
    for inode in (FIRST, FIRST + 1, FIRST + COUNT - 1):
        assert await osd.user.read(token_at(signed, inode), 0, 9) == b"%x" % inode
        alone = osd.capability(file_id=f"demo-{inode:x}")
        assert await osd.user.read(token_of(alone, "alice@demo"), 0, 9, alone) == b"%x" % inode
    assert await osd.user.read(token_at(signed, FIRST + 2), 0, 9) == b""
    assert len(await osd.mrc.shares("", 100)) == 3
    assert await osd.user.read((await osd.user.present(signed)).token, 0, 9) == b"%x" % FIRST


async def test_beginnings_of_many_files_are_read_in_one_call(osd: One) -> None:
    signed = osd.capability(**RANGE)
    token = token_of(signed, "alice@demo")
    for inode in range(FIRST, FIRST + 4):
        await osd.user.write(token_at(signed, inode), 0, b"%x" % inode, 1, signed)
    wanted = [Beginning(inode, 9) for inode in range(FIRST, FIRST + 5)]
    assert await osd.user.read_beginnings(token, wanted) == [b"2f", b"30", b"31", b"32", b""]
    in_a_thread = [Beginning(FIRST + 1, 1), Beginning(FIRST, 100_000)]
    assert await osd.user.read_beginnings(token, in_a_thread) == [b"3", b"2f"]

    await osd.mrc.revoke(f"demo-{FIRST + 1:x}", 5)
    strange = [Beginning(FIRST + 1, 9), Beginning(FIRST + COUNT, 9), Beginning(-1, 9), Beginning(FIRST, 9)]
    for more in ([], [Beginning(FIRST, 100_000)]):
        found = await osd.user.read_beginnings(token, [*strange, *more])
        assert found == [None, None, None, b"2f", *[b"2f" for _ in more]]
    assert await osd.user.read_beginnings(token, []) == []
    with pytest.raises(BadParts):
        await osd.user.read_beginnings(token, [Beginning(FIRST, 1)] * (MOST_BEGINNINGS + 1))
    for lengths in ([-1], [MOST_BYTES + 1], [MOST_BYTES, 1]):
        with pytest.raises(PieceTooLarge):
            await osd.user.read_beginnings(token, [Beginning(FIRST, length) for length in lengths])


async def test_beginnings_are_for_the_holder_who_may_read(osd: One, grid: Grid) -> None:
    signed, wanted = osd.capability(**RANGE), [Beginning(FIRST, 9)]
    token = token_of(signed, "alice@demo")
    with pytest.raises(UnknownToken):
        await osd.user.read_beginnings(token, wanted)
    assert await osd.user.read_beginnings(token, wanted, signed) == [b""]
    with connected(osd.address, grid, grid.make_user("bob")) as bob:
        with pytest.raises(UnknownToken):
            await bob.read_beginnings(token, wanted)
        with pytest.raises(BadCapability):
            await bob.read_beginnings(token, wanted, signed)
    writer = osd.capability(access=Access.WRITE, **RANGE)
    with pytest.raises(BadCapability, match="does not allow to read"):
        await osd.user.read_beginnings(token_of(writer, "alice@demo"), wanted, writer)


async def test_it_is_for_no_file_before_or_behind(osd: One) -> None:
    signed = osd.capability(**RANGE)
    for inode in (0, FIRST - 1, FIRST + COUNT, (1 << 64) - 1):
        for shown in (signed, None):
            with pytest.raises(BadCapability, match=f"not for inode {inode:x}"):
                await osd.user.write(token_at(signed, inode), 0, b"x", 1, shown)
    token = token_at(signed, FIRST)
    for odd in (token[:17], token[:23], token + b"\0"):
        with pytest.raises(UnknownToken):
            await osd.user.write(odd, 0, b"x", 1, signed)
    assert await osd.mrc.shares("", 100) == []


async def test_its_tokens_serve_nobody_but_its_holder(osd: One, grid: Grid) -> None:
    signed = osd.capability(access=Access.READ, **RANGE)
    token = token_at(signed, FIRST + 1)
    with pytest.raises(UnknownToken):
        await osd.user.read(token, 0, 9)
    await osd.user.read(token, 0, 9, signed)
    with pytest.raises(BadCapability, match="does not allow to write"):
        await osd.user.write(token, 0, b"x", 1)
    with connected(osd.address, grid, grid.make_user("bob")) as bob:
        for inode in (FIRST, FIRST + 1, FIRST + 2):
            with pytest.raises(UnknownToken):
                await bob.read(token_at(signed, inode), 0, 9)
        with pytest.raises(BadCapability):
            await bob.read(token, 0, 9, signed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, "for 0 files"),
        ({"count": -1}, "for -1 files"),
        ({"count": MOST_RESERVED + 1}, "for 257 files"),
        ({"layout": replicated("osd1", "osd2")}, "have replicas"),
        ({"origin": "demo-1"}, "in a snapshot"),
        ({"file_id": "demo"}, "no inode"),
        ({"file_id": "demo-0x2f"}, "no inode"),
        ({"file_id": "demo-2F"}, "no inode"),
        ({"file_id": f"demo-{(1 << 63) - 1:x}"}, "no inode"),
        ({"expires": int(time.time()) - 1}, "expired"),
        ({"holder": "bob@demo"}, "not for alice"),
    ],
)
async def test_what_no_mrc_signs_for_several_files_is_refused(osd: One, change: dict[str, Any], said: str) -> None:
    signed = osd.capability(**{**RANGE, **change})
    with pytest.raises(BadCapability, match=said):
        await osd.user.present(signed)
    with pytest.raises(BadCapability, match=said):
        await osd.user.write(token_at(signed, FIRST + 1), 0, b"x", 1, signed)


@pytest.mark.parametrize(
    ("newer", "said"), [({"epoch": 2}, "truncation"), ({"revision": 1}, "revoked"), ({"layout": None}, "replicas")]
)
async def test_what_fences_one_file_leaves_the_others(osd: One, newer: dict[str, Any], said: str) -> None:
    signed, fenced, other = osd.capability(**RANGE), FIRST + 3, FIRST + 4
    for inode in (fenced, other):
        await osd.user.write(token_at(signed, inode), 0, b"old", 1, signed)
    if "layout" in newer:
        newer = {"layout": SINGLE.__class__(SINGLE.striping, SINGLE.replicas, version=1)}
    await osd.token(file_id=f"demo-{fenced:x}", **newer)
    if "layout" not in newer:  # a later layout is kept as soon as it is shown, the others when they are used
        later = osd.capability(file_id=f"demo-{fenced:x}", **newer)
        await osd.user.write(b"", 0, b"new", 2, later)
    with pytest.raises(BadCapability, match=said):
        await osd.user.write(token_at(signed, fenced), 0, b"late", 3, signed)
    await osd.user.write(token_at(signed, other), 0, b"mine", 4)


async def test_a_deleted_one_stays_deleted_and_the_others_are_written(osd: One) -> None:
    signed = osd.capability(**RANGE)
    for inode in (FIRST, FIRST + 1):
        await osd.user.write(token_at(signed, inode), 0, b"x", 1, signed)
    await osd.mrc.delete([f"demo-{FIRST:x}", f"demo-{FIRST + 5:x}"])
    again = osd.capability(revision=1, **RANGE)
    for inode in (FIRST, FIRST + 5):  # the first, by which the capability is named, and one that never was
        for shown in (signed, again):
            with pytest.raises(BadCapability, match="deleted"):
                await osd.user.write(token_at(shown, inode), 0, b"x", 2, shown)
    await osd.user.write(token_at(again, FIRST + 1), 0, b"xy", 3)
    assert [(one.file_id, one.size) for one in await osd.mrc.shares("", 9)] == [(f"demo-{FIRST + 1:x}", 2)]


async def test_each_file_grows_by_what_there_is_room_for(osd: One) -> None:
    await osd.user.write(b"", 0, b"x" * 5, 1, osd.capability(file_id=f"demo-{FIRST + 1:x}"))
    signed = osd.capability(room=10, **RANGE)
    for inode, size in ((FIRST, 10), (FIRST + 1, 15), (FIRST + 2, 10)):
        token = token_at(signed, inode)
        shown = signed if inode == FIRST else None
        await osd.user.write(token, 0, b"x" * size, 2, shown)
        with pytest.raises(XosError, match="Disk quota exceeded"):
            await osd.user.write(token, size, b"x", 3)


# --- as clients use it


class Never:
    """A `Renewal` that nobody may ask."""

    async def renewed(self) -> Opened:
        raise AssertionError

    async def failed_over(self, term: int, dead: str) -> Opened:  # noqa: ARG002 -- as the protocol has it
        raise AssertionError


class Counting(Osds):
    """The one OSD, and how many capabilities were shown to it."""

    def __init__(self, osd: OSDAsync) -> None:
        self.osd, self.shown = osd, 0

    def at(self, node: str) -> OSDAsync:  # noqa: ARG002 -- there is one
        return self.osd

    async def write(self, grant: Grant, content: bytes) -> None:
        async def work(osd: OSDAsync, right: Right, seconds: float) -> Written:
            self.shown += right.shown is not None
            return await osd.write(right.token, 0, content, 1, right.shown, deadline=seconds)

        await grant.at(0, work, reads=False)


async def test_a_client_shows_it_once_for_all_files_and_again_after_a_restart(
    grid: Grid, mrc: Credential, tmp_path: Path
) -> None:
    signed = capability(mrc, "alice@demo", **RANGE)
    shown, config = Shown(signed), configured(grid, "osd1", tmp_path)
    inodes = [Inode(FIRST + at, 0o100600, 1, "", "", 0, 0, 0, 0, 0) for at in range(COUNT)]
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user:
            osds = Counting(user)
            grants = [Grant(Opened(inode, 0, signed), osds, Never(), shown=shown) for inode in inodes]
            for grant in grants:
                await osds.write(grant, grant.capability.file_id.encode())
            assert osds.shown == 1
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as osds.osd:
            for grant in grants:
                await osds.write(grant, b"again")
            assert osds.shown == 2
            for inode in inodes:
                alone = capability(mrc, "alice@demo", file_id=f"demo-{inode.id:x}")
                assert await osds.osd.read(b"", 0, 99, alone) == b"again%x" % inode.id
    with pytest.raises(ValueError, match=str(FIRST + COUNT)):
        shown.of(FIRST + COUNT)


# --- admission by itself, against what it is to do

GRID = make_grid()
PEN: Credential = GRID.make_machine("mrc1", role="core")
ALICE = GRID.user.identity
BEGUN = int(time.time())
FROM = [(0x10, 8, BEGUN + 600), (0x14, 8, BEGUN + 300), (0x12, 1, BEGUN + 600)]
HELD = [
    capability(PEN, "alice@demo", file_id=f"demo-{first:x}", count=count, expires=expires)
    for first, count, expires in FROM
]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("show"), st.integers(0, 2), st.integers(0xE, 0x1E)),
        st.tuples(st.just("use"), st.integers(0, 2), st.integers(0xE, 0x1E)),
        st.tuples(st.just("bury"), st.just(0), st.integers(0xE, 0x1E)),
        st.tuples(st.just("wait"), st.just(0), st.integers(1, 400)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, most=st.integers(1, 6))
def test_whatever_happens_each_file_is_admitted_by_its_own_rules(steps: list[tuple[str, int, int]], most: int) -> None:
    now = BEGUN
    admission = Admission("osd1", GRID.trust, ["mrc*"], lambda: now, most=most)
    buried: set[int] = set()
    for what, held, number in steps:
        if what == "bury":
            admission.bury(f"demo-{number:x}", 0)
            buried.add(number)
        elif what == "wait":
            now += number
        else:
            signed, (first, count, expires) = HELD[held], FROM[held]
            token = token_at(signed, number)
            good = first <= number < first + count and number not in buried and now < expires
            try:
                grant = admission.present(signed, ALICE, token) if what == "show" else admission.grant(token, ALICE)
            except BadCapability:
                assert not good
            except UnknownToken:
                assert what == "use"
            else:
                assert good
                assert grant.file_id == f"demo-{number:x}"
                assert grant.caller == "alice@demo"
                grant.frozen = True
                assert what == "use" or admission.grant(token, ALICE) is grant
            assert len(admission._grants) <= most


def test_what_is_known_of_one_file_is_not_taken_for_that_of_another() -> None:
    admission = Admission("osd1", GRID.trust, ["mrc*"], time.time)
    one = admission.present(HELD[0], ALICE, token_at(HELD[0], 0x11))
    one.base, one.frozen = 7, True
    other = admission.grant(token_at(HELD[0], 0x12), ALICE)
    assert (other.base, other.frozen) == (None, False)
    assert admission.grant(one.token, ALICE) is one
    first = admission.grant(token_at(HELD[0], 0x10), ALICE)
    assert first is admission.present(HELD[0], ALICE)


@settings(max_examples=200, deadline=None)
@given(token=st.binary(max_size=40), file_id=st.text(max_size=20), count=st.integers(-(1 << 63), (1 << 63) - 1))
def test_rubbish_is_refused(token: bytes, file_id: str, count: int) -> None:
    admission = Admission("osd1", GRID.trust, ["mrc*"], time.time)
    signed = capability(PEN, "alice@demo", file_id=file_id, count=count)
    with pytest.raises(UnknownToken):
        admission.grant(token, ALICE)
    try:
        grant = admission.present(signed, ALICE, token)
    except (BadCapability, UnknownToken):
        return
    assert 1 <= count <= MOST_RESERVED
    assert grant.file_id == file_id
