# SPDX-License-Identifier: BSD-3-Clause
"""A share that is lent is read from its files: never wrong bytes, and none that the OSD would not give."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from support.osds import FILE, SINGLE, address_of, capability, configured, connected, replicated, running
from xos.common.tls import Credential
from xos.dixi.errors import NotAllowed
from xos.xtreemfs.api import Access, Capability, Layout, Loan, Replica, Striping, Update
from xos.xtreemfs.client.loans import MOST_LENT, Borrowed, NotAtHand
from xos.xtreemfs.errors import BadCapability, CorruptShare, Elsewhere, NotLent, UnknownFile
from xos.xtreemfs.osd.admission import Grant
from xos.xtreemfs.osd.checksums import BLOCK
from xos.xtreemfs.osd.lending import lent
from xos.xtreemfs.osd.share import Share, boot_id
from xos.xtreemfs.osd.store import ShareStore
from xos.xtreemfs.xati import OSDAsync

from .conftest import One

BUFFER = memoryview(bytearray(MOST_LENT + 2 * BLOCK))
SIZE = 5 * BLOCK + 1234


class Borrower:
    """A machine with a capability for `FILE`, and its connection."""

    def __init__(self, osd: One, client: OSDAsync, machine: Credential) -> None:
        self.osd, self.client, self.machine = osd, client, machine

    async def token(self, **change: object) -> bytes:
        signed = self.osd.capability(holder=str(self.machine.identity), **change)  # type: ignore[arg-type]
        self.capability = msgspec.msgpack.decode(signed.payload, type=Capability)
        return (await self.client.present(signed)).token

    async def share(self, **change: object) -> Borrowed:
        self.loan = await self.client.lend(await self.token(**change), boot_id())
        return Borrowed(self.loan, self.capability)


@pytest.fixture
def borrower(osd: One) -> Iterator[Borrower]:
    machine = osd.grid.make_machine("node9", role="resource")
    with connected(osd.address, osd.grid, machine) as client:
        yield Borrower(osd, client, machine)


async def written(borrower: Borrower, size: int = SIZE) -> bytes:
    content = random.Random(size).randbytes(size)
    await borrower.client.write(await borrower.token(), 0, content, 1)
    return content


def overwrite(path: Path, offset: int, content: bytes) -> None:
    """Behind the OSD's back."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def both(share: Borrowed, offset: int, length: int) -> bytes:
    """What it reads, in both ways."""
    found = bytes(share.at_hand(offset, length, BUFFER))
    assert bytes(share.read(offset, length)) == found
    return found


async def test_what_is_lent_is_read_as_the_osd_reads_it(borrower: Borrower) -> None:
    content = await written(borrower)
    share = await borrower.share()
    for offset, length in ((0, SIZE), (0, 1), (BLOCK - 1, 2), (BLOCK, BLOCK), (SIZE - 1, 1), (3 * BLOCK + 7, 4096)):
        assert both(share, offset, length) == content[offset : offset + length]


async def test_holes_are_read_as_zeros(borrower: Borrower) -> None:
    await borrower.client.write(await borrower.token(), 10 * BLOCK + 5, b"end", 1)
    share = await borrower.share()
    assert both(share, 0, 10 * BLOCK + 8) == bytes(10 * BLOCK + 5) + b"end"


async def test_what_others_write_is_read_at_once_and_beyond_the_end_the_osd_is_asked(borrower: Borrower) -> None:
    content = await written(borrower)
    share, token = await borrower.share(), await borrower.osd.token()
    await borrower.osd.user.write(token, 2 * BLOCK + 100, b"news", 2)
    assert (
        both(share, 2 * BLOCK + 99, 6)
        == content[2 * BLOCK + 99 : 2 * BLOCK + 100] + b"news" + (content[2 * BLOCK + 104 : 2 * BLOCK + 105])
    )
    with pytest.raises(NotAtHand):
        share.read(SIZE - 1, 2)
    await borrower.osd.user.write(token, SIZE, b"more", 3)
    assert both(share, SIZE - 1, 5) == content[-1:] + b"more"


async def test_what_is_read_while_somebody_writes_is_whole_blocks_as_they_were_or_nothing(
    borrower: Borrower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer in a thread of its own, since two in one event loop would take turns; and one that is slow."""

    def in_pieces(fd: int, content: memoryview, offset: int) -> None:
        for at in range(0, len(content), 4096):
            os.pwrite(fd, content[at : at + 4096], offset + at)
            os.sched_yield()

    monkeypatch.setattr(Share, "_pwrite", staticmethod(in_pieces))
    data, sums = tmp_path / "f.data", tmp_path / "f.sums"
    own = Share(FILE, data, sums, create=True)
    own.write(0, bytes(BLOCK))
    await borrower.token()
    there = data.lstat()
    loan = Loan(str(data), str(sums), there.st_dev, there.st_ino, sums.lstat().st_ino)
    share, over = Borrowed(loan, borrower.capability), threading.Event()

    def write() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            own.write(0, bytes([turn % 256]) * BLOCK)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen, refused = 0, 0
        while seen < 100:
            try:
                assert len(set(share.at_hand(0, BLOCK, BUFFER))) == 1
                seen += 1
            except NotAtHand:
                refused += 1
                assert refused < 1_000_000
    finally:
        over.set()
        writer.join()
        own.close()


@pytest.mark.parametrize(
    "change", [{"epoch": 2}, {"revision": 1}, {"layout": msgspec.structs.replace(SINGLE, version=3)}]
)
async def test_a_loan_ends_as_a_capability_does(borrower: Borrower, change: dict[str, object]) -> None:
    content = await written(borrower)
    share = await borrower.share()
    before = borrower.capability
    if "revision" in change:
        await borrower.osd.mrc.revoke(FILE, 1)
    else:
        await borrower.osd.user.write(await borrower.osd.token(**change), 0, content[:1], 2)
    with pytest.raises(NotAtHand):
        share.at_hand(0, 10, BUFFER)
    with pytest.raises(NotAtHand):
        share.read(0, 10)
    old = capability(borrower.osd.pen, before.holder)
    with pytest.raises(BadCapability):
        await borrower.client.lend(b"", boot_id(), old)
    assert both(await borrower.share(**change), 0, 10) == content[:10]


async def test_a_deleted_share_is_not_lent_again(borrower: Borrower) -> None:
    await written(borrower)
    token = await borrower.token()
    await borrower.osd.mrc.delete([FILE])
    with pytest.raises(BadCapability, match="deleted"):
        await borrower.client.lend(token, boot_id())


async def test_damage_is_never_read(borrower: Borrower) -> None:
    content = await written(borrower)
    share = await borrower.share()
    assert both(share, BLOCK, 10) == content[BLOCK : BLOCK + 10]
    overwrite(Path(borrower.loan.data), BLOCK + 40_000, bytes([content[BLOCK + 40_000] ^ 1]))
    for offset, length in ((BLOCK, 1), (2 * BLOCK - 1, 1), (0, SIZE)):
        with pytest.raises(NotAtHand):
            share.at_hand(offset, length, BUFFER)
        with pytest.raises(NotAtHand):
            share.read(offset, length)
    assert both(share, 2 * BLOCK, 10) == content[2 * BLOCK : 2 * BLOCK + 10]
    with pytest.raises(CorruptShare):
        await borrower.client.read(await borrower.token(), BLOCK, 1)


async def test_other_files_in_the_place_of_a_share_are_not_opened(borrower: Borrower, tmp_path: Path) -> None:
    await written(borrower)
    await borrower.share()
    loan, good = borrower.loan, borrower.capability
    for field in ("device", "data_inode", "sums_inode"):
        with pytest.raises(OSError, match=r"\.data"):
            Borrowed(msgspec.structs.replace(loan, **{field: 1}), good)
    link = tmp_path / "link"
    link.symlink_to(loan.data)
    with pytest.raises(OSError, match="symbolic"):
        Borrowed(msgspec.structs.replace(loan, data=str(link)), good)
    other = tmp_path / "other"
    other.write_bytes(bytes(1000))
    with pytest.raises(OSError, match=r"\.data"):  # no file of sums
        Borrowed(msgspec.structs.replace(loan, sums=str(other), sums_inode=other.stat().st_ino), good)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="fifo"):
        Borrowed(msgspec.structs.replace(loan, data=str(fifo), data_inode=fifo.stat().st_ino), good)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
async def test_files_of_two_owners_are_no_share(borrower: Borrower) -> None:
    await written(borrower)
    await borrower.share()
    os.chown(borrower.loan.sums, 12_345, -1)
    with pytest.raises(OSError, match=r"\.data"):
        Borrowed(borrower.loan, borrower.capability)


async def test_what_is_lent_to_whom(borrower: Borrower) -> None:
    token = await borrower.token()
    with pytest.raises(UnknownFile):
        await borrower.client.lend(token, boot_id())
    await written(borrower)
    with pytest.raises(Elsewhere):
        await borrower.client.lend(token, bytes(8))
    with pytest.raises(NotAllowed):
        await borrower.osd.user.lend(await borrower.osd.token(), boot_id())
    with pytest.raises(BadCapability, match="allow"):
        await borrower.client.lend(await borrower.token(access=Access.WRITE), boot_id())
    await borrower.client.lend(await borrower.token(), boot_id())


FROZEN = Layout(Striping(), (Replica(("osd1",)), Replica(("osd2",))), Update.READ_ONLY)


@pytest.mark.parametrize(
    ("layout", "origin"),
    [
        (replicated("osd1", "osd2"), ""),
        (replicated("osd1", "osd2", update=Update.ALL), ""),
        (Layout(Striping(), (Replica(("osd1",), complete=False), Replica(("osd2",))), Update.READ_ONLY), ""),
        (FROZEN, "demo-1e"),
    ],
)
async def test_what_is_not_for_one_osd_alone_to_decide_is_not_lent(
    osd: One, tmp_path: Path, layout: Layout, origin: str
) -> None:
    signed = osd.capability(layout, origin=origin)
    shown = msgspec.msgpack.decode(signed.payload, type=Capability)
    with pytest.raises(NotLent):
        lent(ShareStore(tmp_path / "store"), Grant(b"", shown, signed, shown.holder, False, True, 0, 0))


async def test_a_complete_replica_of_a_file_that_does_not_change_is_lent(borrower: Borrower) -> None:
    content = await written(borrower)
    assert both(await borrower.share(layout=FROZEN), 0, SIZE) == content


async def test_a_share_that_was_left_in_the_middle_is_summed_before_it_is_lent(
    borrower: Borrower, tmp_path: Path
) -> None:
    """As after `kill -9` between the bytes and their sums."""
    content = await written(borrower)
    again = tmp_path / "again"
    shutil.copytree(borrower.osd.data, again / "data" / "OSD")
    (data,) = again.glob("data/OSD/shares/*/*.data")
    overwrite(data, 0, b"torn")
    async with running(configured(borrower.osd.grid, "osd1", again)) as daemon:
        with connected(address_of(daemon), borrower.osd.grid, borrower.machine) as client:
            signed = borrower.osd.capability(holder=str(borrower.machine.identity))
            loan = await client.lend(b"", boot_id(), signed)
            assert Path(loan.data) == data
            assert both(Borrowed(loan, borrower.capability), 0, SIZE) == b"torn" + content[4:]
