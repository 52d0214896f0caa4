# SPDX-License-Identifier: BSD-3-Clause
"""An OSD serves whoever shows a good capability, and nobody else; over real TLS."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.daemons import Node
from support.dixi import Grid, make_grid
from support.osds import FILE, SINGLE, address_of, capability, configured, connected, running
from xos.common.signing import sign
from xos.common.tls import Credential
from xos.dixi.errors import NotAllowed
from xos.xtreemfs.api import (
    MOST_BYTES,
    MOST_FILES,
    MOST_PARTS,
    Access,
    Capability,
    Extent,
    FilePart,
    Layout,
    Part,
    Replica,
    Striping,
    token_of,
)
from xos.xtreemfs.errors import (
    BadCapability,
    BadFileId,
    BadParts,
    CorruptShare,
    DiskFailed,
    OsdFull,
    OtherStore,
    PieceTooLarge,
    Refused,
    ShareTooLarge,
    UnknownFile,
    UnknownToken,
)
from xos.xtreemfs.osd.checksums import BLOCK

from .conftest import One


async def test_what_is_written_is_read(osd: One) -> None:
    presented = await osd.user.present(osd.capability())
    assert presented.extent == Extent(0, 1)
    assert (await osd.user.write(presented.token, 5, b"hello", 1)).extent == Extent(10, 1)
    assert await osd.user.read(presented.token, 0, 100) == bytes(5) + b"hello"
    assert await osd.user.read(presented.token, 10, 100) == b""
    assert (await osd.user.sync(presented.token)).extent == Extent(10, 1)


async def test_the_largest_piece_goes_through_and_no_larger_one(osd: One) -> None:
    token, content = await osd.token(), os.urandom(MOST_BYTES)
    await osd.user.write(token, 0, content, 1)
    assert await osd.user.read(token, 0, MOST_BYTES) == content
    with pytest.raises(PieceTooLarge):
        await osd.user.write(token, 0, content + b"x", 2)
    with pytest.raises(PieceTooLarge):
        await osd.user.read(token, 0, MOST_BYTES + 1)
    for offset in (-1, 1 << 44, 1 << 62):
        with pytest.raises(ShareTooLarge):
            await osd.user.write(token, offset, b"x", 3)


async def test_parts_all_over_a_file_are_written_by_one_call(osd: One) -> None:
    token = await osd.token()
    parts = [Part(5, 3), Part(8, 2), Part(BLOCK - 1, 2), Part(3 * BLOCK, 1)]
    content = b"abcdefgh"
    assert (await osd.user.write_parts(token, parts, content, 1)).extent == Extent(3 * BLOCK + 1, 1)
    expected = bytearray(3 * BLOCK + 1)
    for part in parts:
        expected[part.offset : part.offset + part.length], content = content[: part.length], content[part.length :]
    assert await osd.user.read(token, 0, 4 * BLOCK) == expected


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [Part(0, 3)],
        [Part(0, 5)],
        [Part(0, 0), Part(0, 4)],
        [Part(-1, 4)],
        [Part(0, -1), Part(9, 5)],
        [Part(10, 2), Part(0, 2)],
        [Part(0, 3), Part(2, 1)],
        [Part(2 * at, 1) for at in range(MOST_PARTS + 1)],
    ],
)
async def test_parts_that_are_none_are_refused(osd: One, parts: list[Part]) -> None:
    token = await osd.token()
    with pytest.raises(BadParts):
        await osd.user.write_parts(token, parts, b"four" if len(parts) < 5 else bytes(len(parts)), 1)
    assert await osd.user.read(token, 0, 10) == b""
    with pytest.raises(ShareTooLarge):
        await osd.user.write_parts(token, [Part(0, 2), Part(1 << 62, 2)], b"four", 1)
    assert await osd.user.read(token, 0, 10) == b""


async def test_a_truncation_cuts_what_this_osd_has_of_the_file(osd: One) -> None:
    layout = Layout(Striping(4096, 2), (Replica(("other", "osd1")),))
    token = await osd.token(layout=layout)
    assert (await osd.user.write(token, 0, b"x" * 8192, 1)).extent == Extent(4096 * 4, 1)
    token = await osd.token(layout=layout, epoch=2)
    assert (await osd.user.truncate(token, 4096 + 10)).extent == Extent(4106, 2)
    assert await osd.user.read(token, 0, 8192) == b"x" * 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires": int(time.time()) - 1}, "expired"),
        ({"expires": int(time.time()) + 100_000}, "too long"),
        ({"holder": "bob@demo"}, "not for alice"),
        ({"layout": Layout(Striping(), (Replica(("osd2",)),))}, "holds nothing"),
        ({"layout": Layout(Striping(4096, 2), (Replica(("osd1",)),))}, "not 2 OSDs"),
        ({"layout": Layout(Striping(4096, 2), (Replica(("osd1", "osd1")),))}, "twice"),
        ({"layout": Layout(Striping(), ())}, "no replica"),
        ({"layout": msgspec.structs.replace(SINGLE, primary=7)}, "no replica"),
    ],
)
async def test_a_capability_that_is_not_for_this_is_refused(osd: One, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadCapability, match=said):
        await osd.user.present(osd.capability(**change))


async def test_a_forged_capability_is_refused(osd: One, grid: Grid) -> None:
    good = osd.capability(access=Access.READ)
    more = msgspec.msgpack.encode(
        msgspec.structs.replace(msgspec.msgpack.decode(good.payload, type=Capability), access=Access.WRITE)
    )
    forged = {
        "payload": msgspec.structs.replace(good, payload=more),
        "signature": msgspec.structs.replace(good, signature=good.signature[:-1] + b"\0"),
        "rubbish": sign(b"\xc1\xff", osd.pen, purpose=good.purpose),
        "purpose": sign(good.payload, osd.pen, purpose="job"),
        "user": sign(good.payload, grid.user, purpose=good.purpose),
        "machine": sign(good.payload, grid.make_machine("node7"), purpose=good.purpose),
        "authority": sign(good.payload, make_grid().make_machine("mrc1"), purpose=good.purpose),
        "large": sign(bytes(1 << 20), osd.pen, purpose=good.purpose),
    }
    for signed in forged.values():
        with pytest.raises(BadCapability):
            await osd.user.present(signed)
    await osd.user.present(good)


async def test_the_first_call_may_bring_the_capability_and_later_ones_its_token(osd: One, grid: Grid) -> None:
    signed = osd.capability()
    token = token_of(signed, "alice@demo")
    with pytest.raises(UnknownToken):
        await osd.user.write(token, 0, b"early", 1)
    await osd.user.write(token, 0, b"hello", 1, signed)
    assert await osd.user.read(token, 0, 9) == b"hello"
    with connected(osd.address, grid, grid.make_user("bob")) as bob:
        with pytest.raises(BadCapability):
            await bob.read(token, 0, 9, signed)
        with pytest.raises(UnknownToken):
            await bob.read(token, 0, 9)
    cut = osd.capability(epoch=2)
    assert (await osd.user.truncate(b"", 2, cut)).extent == Extent(2, 2)
    with pytest.raises(BadCapability):
        await osd.user.write(token, 0, b"late", 2, signed)
    assert (await osd.user.sync(b"", cut)).extent == Extent(2, 2)
    forged = msgspec.structs.replace(cut, signature=cut.signature[:-1] + bytes([cut.signature[-1] ^ 1]))
    with pytest.raises(BadCapability):
        await osd.user.read(token_of(cut, "alice@demo"), 0, 9, forged)


async def test_a_capability_shown_with_a_write_limits_it_as_one_presented_before(osd: One) -> None:
    signed = osd.capability(room=10)
    token = token_of(signed, "alice@demo")
    await osd.user.write(token, 0, b"x" * 10, 1, signed)
    with pytest.raises(Refused) as refused:
        await osd.user.write(token, 1, b"x" * 10, 2, signed)
    assert refused.value.data["errno"] == errno.EDQUOT
    moved = osd.capability(file_id="demo-2", layout=msgspec.structs.replace(SINGLE, version=1))
    await osd.user.write(b"", 0, b"x", 1, moved)
    with pytest.raises(BadCapability):
        await osd.user.read(b"", 0, 1, osd.capability(file_id="demo-2"))


async def test_a_token_serves_nobody_but_its_holder(osd: One, grid: Grid) -> None:
    token = await osd.token()
    with connected(osd.address, grid, grid.make_user("bob")) as bob:
        with pytest.raises(UnknownToken):
            await bob.read(token, 0, 1)
        with pytest.raises(BadCapability):
            await bob.present(osd.capability())
    for wrong in (b"", b"x" * 16, token[:-1], token + b"x"):
        with pytest.raises(UnknownToken):
            await osd.user.read(wrong, 0, 1)


async def test_a_token_allows_what_its_capability_says(osd: One) -> None:
    reading, writing = await osd.token(access=Access.READ), await osd.token(access=Access.WRITE)
    await osd.user.write(writing, 0, b"x", 1)
    assert await osd.user.read(reading, 0, 9) == b"x"
    for refused in (
        osd.user.write(reading, 0, b"x", 1),
        osd.user.truncate(reading, 0),
        osd.user.read(writing, 0, 1),
    ):
        with pytest.raises(BadCapability):
            await refused
    for token in (reading, writing):
        await osd.user.sync(token)


async def test_a_token_ends_with_its_capability(osd: One) -> None:
    token = await osd.token(expires=int(time.time()) + 2)
    await osd.user.write(token, 0, b"x", 1)

    async def read_on() -> None:
        while True:
            await osd.user.read(token, 0, 1)

    with pytest.raises(BadCapability, match="expired"):
        await read_on()


@pytest.mark.parametrize(
    "newer", [{"epoch": 2}, {"layout": msgspec.structs.replace(SINGLE, version=1)}, {"revision": 1}]
)
async def test_once_a_newer_capability_was_used_an_older_one_is_refused(osd: One, newer: dict[str, Any]) -> None:
    old = await osd.token()
    await osd.user.write(old, 0, b"old", 1)
    new = await osd.token(**newer)
    await osd.user.write(new, 0, b"new", 1)
    for refused in (osd.user.write(old, 0, b"xxx", 2), osd.user.read(old, 0, 3), osd.user.present(osd.capability())):
        with pytest.raises(BadCapability):
            await refused
    assert await osd.user.read(new, 0, 3) == b"new"


async def test_a_revoked_capability_is_refused_also_after_a_restart(
    grid: Grid, mrc: Credential, tmp_path: Path
) -> None:
    config = configured(grid, "osd1", tmp_path)
    old, new = capability(mrc, "alice@demo"), capability(mrc, "alice@demo", revision=4)
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user, connected(address_of(daemon), grid, mrc) as signer:
            token = (await user.present(old)).token
            await user.write(token, 0, b"x", 1)
            await signer.revoke(FILE, 4)
            with pytest.raises(BadCapability, match="revoked"):
                await user.read(token, 0, 1)
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user:
            with pytest.raises(UnknownToken):
                await user.read(token, 0, 1)
            with pytest.raises(BadCapability, match="revoked"):
                await user.present(old)
            assert await user.read((await user.present(new)).token, 0, 9) == b"x"


async def test_only_mrcs_revoke_and_delete(osd: One, grid: Grid) -> None:
    with connected(osd.address, grid, grid.make_machine("node7")) as other:
        for refused in (other.delete([FILE]), other.revoke(FILE, 9), osd.user.delete([FILE])):
            with pytest.raises(NotAllowed):
                await refused


async def test_a_deleted_file_stays_deleted(osd: One) -> None:
    token = await osd.token()
    await osd.user.write(token, 0, b"x", 1)
    await osd.mrc.delete([FILE, "demo-none"])
    await osd.mrc.delete([FILE])
    with pytest.raises(BadCapability, match="deleted"):
        await osd.user.write(token, 0, b"x", 1)
    with pytest.raises(BadCapability, match="deleted"):
        await osd.user.present(osd.capability())
    with pytest.raises(UnknownFile):
        await osd.mrc.state(FILE)
    assert await osd.mrc.shares("", 10) == []


async def test_a_file_that_was_moved_away_may_come_back(osd: One) -> None:
    await osd.user.write(await osd.token(), 0, b"x", 1)
    await osd.mrc.delete([FILE])
    token = await osd.token(layout=msgspec.structs.replace(SINGLE, version=1))
    assert await osd.user.read(token, 0, 9) == b""
    await osd.user.write(token, 0, b"back", 1)


async def test_it_lists_its_shares_page_by_page(osd: One) -> None:
    for number in range(5):
        token = await osd.token(file_id=f"demo-{number}")
        await osd.user.write(token, 0, b"x" * (number + 1), 1)
    first = await osd.mrc.shares("", 3)
    rest = await osd.mrc.shares(first[-1].file_id, 3)
    assert [(share.file_id, share.size) for share in (*first, *rest)] == [(f"demo-{n}", n + 1) for n in range(5)]


async def test_a_file_grows_no_further_than_its_quota_has_room(osd: One) -> None:
    token = await osd.token(room=10)
    await osd.user.write(token, 0, b"x" * 10, 1)
    await osd.user.write(token, 0, b"y" * 10, 2)
    with pytest.raises(Refused) as refused:
        await osd.user.write(token, 1, b"x" * 10, 3)
    assert refused.value.data["errno"] == errno.EDQUOT


async def test_damage_on_disk_is_told_and_the_rest_is_served(osd: One) -> None:
    token = await osd.token()
    await osd.user.write(token, 0, os.urandom(200_000), 1)
    await osd.user.sync(token)
    (data,) = osd.data.glob("shares/*/*.data")
    with data.open("r+b") as file:
        file.seek(70_000)
        file.write(b"damage")
    assert len(await osd.user.read(token, 0, 65536)) == 65536
    with pytest.raises(CorruptShare):
        await osd.user.read(token, 65536, 10)


async def test_the_scrubber_finds_damage_that_nobody_reads(grid: Grid, mrc: Credential, tmp_path: Path) -> None:
    config = configured(grid, "osd1", tmp_path)
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user:
            token = (await user.present(capability(mrc, "alice@demo"))).token
            await user.write(token, 0, os.urandom(5 * BLOCK), 1)
            await user.sync(token)
    (data,) = (tmp_path / "data/OSD").glob("shares/*/*.data")
    with data.open("r+b") as file:
        file.seek(2 * BLOCK + 5)
        file.write(b"damage")
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user:
            async with asyncio.timeout(10):
                while (await user.health()).damaged == 0:
                    pass
            assert (await user.health()).shares == 1


async def test_a_round_of_the_scrubber_begins_when_a_machine_asks_for_one(osd: One) -> None:
    async with asyncio.timeout(10):
        while (await osd.user.health()).rounds == 0:
            pass
    token = await osd.token()
    await osd.user.write(token, 0, os.urandom(5 * BLOCK), 1)
    await osd.user.sync(token)
    (data,) = osd.data.glob("shares/*/*.data")
    with data.open("r+b") as file:
        file.seek(4 * BLOCK + 5)
        file.write(b"damage")
    with pytest.raises(NotAllowed):
        await osd.user.scrub()
    assert (await osd.user.health()).damaged == 0
    async with asyncio.timeout(10):
        wanted = await osd.mrc.scrub()
        while (health := await osd.user.health()).rounds < wanted:
            pass
    assert (health.shares, health.damaged, health.scrubbed) == (1, 1, -1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_is_told(grid: Grid, mrc: Credential, small_disk: Path) -> None:
    async with running(configured(grid, "osd1", small_disk)) as daemon:
        with connected(address_of(daemon), grid) as user:
            token = (await user.present(capability(mrc, "alice@demo"))).token
            await user.write(token, 0, b"x" * BLOCK, 1)
            with pytest.raises(OsdFull):
                await user.write(token, BLOCK, bytes(MOST_BYTES), 2)
            assert (await user.health()).full
            assert await user.read(token, 0, BLOCK) == b"x" * BLOCK
            await user.truncate(token, BLOCK)
            await user.write(token, BLOCK, b"y", 3)
            assert await user.read(token, BLOCK, 1) == b"y"


async def test_a_disk_that_is_read_only_is_told_and_read(grid: Grid, mrc: Credential, small_disk: Path) -> None:
    config = configured(grid, "osd1", small_disk)
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user:
            token = (await user.present(capability(mrc, "alice@demo"))).token
            await user.write(token, 0, b"x" * BLOCK, 1)
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(small_disk)], check=True)
    async with running(config) as daemon:
        with connected(address_of(daemon), grid) as user:
            token = (await user.present(capability(mrc, "alice@demo"))).token
            with pytest.raises(DiskFailed, match="read-only"):
                await user.write(token, 0, b"z", 4)
            assert await user.read(token, 0, BLOCK) == b"x" * BLOCK
            assert (await user.health()).read_only


@pytest.mark.timeout(60)
async def test_what_was_acknowledged_survives_the_end_of_the_osd(grid: Grid, mrc: Credential) -> None:
    node = Node(grid, "osd1", '[services.Directory]\n[services.OSD]\n[services.OSD.settings]\nmrcs = ["mrc*"]\n')
    node.start()
    try:
        with connected(node.address, grid) as user:
            token = (await user.present(capability(mrc, "alice@demo"))).token
            for number in range(100):
                await user.write(token, number * 1000, b"%03d" % number, number)
        assert node.process is not None
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
        node.start()
        with connected(node.address, grid) as user:
            with pytest.raises(UnknownToken):
                await user.read(token, 0, 3)
            token = (await user.present(capability(mrc, "alice@demo"))).token
            for number in range(100):
                assert await user.read(token, number * 1000, 3) == b"%03d" % number
    finally:
        node.kill()


async def test_it_says_how_it_is(osd: One) -> None:
    health = await osd.user.health()
    assert 0 < health.free <= health.total
    assert not health.read_only


async def test_a_capability_of_another_file_opens_only_that_file(osd: One) -> None:
    token = await osd.token(file_id="demo-2")
    await osd.user.write(token, 0, b"two", 1)
    assert await osd.user.read(await osd.token(), 0, 3) == b""
    for wrong in ("../../etc/passwd", "", "A" * 10, "a" * 65):
        with pytest.raises(BadFileId):
            await osd.user.present(osd.capability(file_id=wrong))


async def test_a_file_that_was_placed_on_another_disk_is_refused_and_the_disk_keeps_its_name(
    grid: Grid, mrc: Credential, tmp_path: Path
) -> None:
    config, names = configured(grid, "osd1", tmp_path), list[str]()
    for wiped in (False, False, True):
        if wiped:
            shutil.rmtree(tmp_path / "data" / "OSD")
        async with running(config) as daemon:
            names.append((tmp_path / "data" / "OSD" / "store").read_text().strip())
            with connected(address_of(daemon), grid) as user:
                here = msgspec.structs.replace(SINGLE, replicas=(Replica(("osd1",), stores=(names[0],)),))
                if wiped:
                    with pytest.raises(OtherStore):
                        await user.present(capability(mrc, "alice@demo", here))
                else:
                    await user.present(capability(mrc, "alice@demo", here))
                await user.present(capability(mrc, "alice@demo", SINGLE))
    assert names[0] == names[1] != names[2]


async def test_the_beginnings_of_many_files_are_written_by_one_call(osd: One) -> None:
    shown = [osd.capability(file_id=f"many-{number:x}") for number in range(10)]
    tokens = [token_of(signed, "alice@demo") for signed in shown]
    pieces = [b"%d" % number * 100 for number in range(10)]
    files = [FilePart(token, len(piece)) for token, piece in zip(tokens, pieces, strict=True)]
    reading = await osd.token(file_id="many-a", access=Access.READ)
    files += [FilePart(bytes(16), 3), FilePart(reading, 3)]
    content = b"".join(pieces) + b"abcdef"
    forged = msgspec.structs.replace(shown[9], signature=shown[8].signature)
    assert await osd.user.write_files(files, content, [*shown[:9], forged]) == [9, 10, 11]
    assert await osd.user.write_files(files, content, shown) == [10, 11]
    assert [await osd.user.read(token, 0, 1000) for token in tokens] == pieces
    assert await osd.user.write_files(files, content, []) == [10, 11]  # twice is as once
    assert [await osd.user.read(token, 0, 1000) for token in tokens] == pieces


@pytest.mark.parametrize(
    "lengths", [[], [3], [5], [0, 4], [-1, 5], [(64 << 10) + 1], [1] * (MOST_FILES + 1)]
)  # fmt: skip
async def test_beginnings_that_are_none_are_refused(osd: One, lengths: list[int]) -> None:
    token = await osd.token()
    content = bytes(lengths[0]) if len(lengths) == 1 and lengths[0] > 5 else bytes(max(4, len(lengths)))
    with pytest.raises(BadParts):
        await osd.user.write_files([FilePart(token, length) for length in lengths], content, [])
    assert await osd.user.read(token, 0, 10) == b""
