# SPDX-License-Identifier: BSD-3-Clause
"""Leases of directories: who gets one, what its holder does, and that nobody else sees what was before."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.dixi import Grid, make_grid, until
from support.mrc import ADMIN, ALICE, NODE1, Around, Mrc, acting, serving
from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, sign
from xos.xtreemfs.api import (
    CAPABILITY_PURPOSE,
    MOST_BATCH,
    MOST_RESERVED,
    TAKE_SECONDS,
    Access,
    Applied,
    Ask,
    Change,
    Changed,
    Closed,
    Extent,
    Gone,
    Lease,
    Made,
    Open,
    Outcome,
    Policy,
    Quota,
    Reserve,
    Session,
    ShareState,
    Update,
    What,
)
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import leasing

NODE2 = Identity(Kind.MACHINE, "node2", roles=("resource",))
WRITE = Open(Access.READ | Access.WRITE, create=True, mode=0o644)


@contextlib.contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(Refused) as raised:
        yield
    assert raised.value.data["errno"] == number


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
async def mrc(grid: Grid, database: str, tmp_path: Path) -> AsyncIterator[Mrc]:
    async with serving(grid, tmp_path, database=database) as made:
        await made.volume()
        yield made


class Holder:
    """A client that makes and removes files in memory, and tells of that when it is told to."""

    def __init__(self, mrc: Mrc, session: Session, by: Identity = NODE1) -> None:
        self.mrc, self.session, self.by = mrc, session, by
        self.leases: dict[int, Lease] = {}
        self.pending: list[Applied] = []
        self.numbers: list[int] = []
        self.heard: list[Changed] = []
        self.watching: asyncio.Task[None] | None = None

    @classmethod
    async def begin(cls, mrc: Mrc, by: Identity = NODE1) -> Holder:
        return cls(mrc, await mrc.session(by=by), by)

    def ask(self) -> Ask:
        return self.mrc.ask(self.session)

    async def lease(self, directory: int = 0) -> Lease | None:
        directory = directory or self.session.root.id
        with acting(self.by):
            lease = await self.mrc.service.lease(directory, self.ask())
        if lease is not None:
            self.leases[directory] = lease
            if lease.reserve is not None:
                self.numbers = list(range(lease.reserve.first, lease.reserve.first + lease.reserve.count))
        return lease

    async def had(self, directory: int = 0) -> Lease:
        lease = await self.lease(directory)
        assert lease is not None
        return lease

    @property
    def reserve(self) -> Reserve:
        (reserve,) = [lease.reserve for lease in self.leases.values() if lease.reserve is not None][-1:]
        return reserve

    def made(self, name: bytes, size: int = 0, **more: Any) -> Made:
        """A file, closed with so many bytes."""
        now = time.time_ns()
        values: dict[str, Any] = {
            "directory": self.session.root.id,
            "inode": self.numbers.pop(0),
            "extent": Extent(size, 0),
            "claim": self.ask().claim,
        } | more
        made = Made(name=name, mode=0o644, when=now, reserve=0, mtime=now, **values)
        self.pending.append(Applied(made=made))
        return made

    def gone(self, name: bytes, inode: int, directory: int = 0) -> None:
        gone = Gone(directory or self.session.root.id, name, inode, time.time_ns(), self.ask().claim)
        self.pending.append(Applied(gone=gone))

    async def tell(self, *give_back: int, ask: Ask | None = None) -> list[Outcome]:
        changes, self.pending = self.pending, []
        shown = [self.reserve.capability] if any(one.made for one in changes) else []
        with acting(self.by):
            return await self.mrc.service.apply(changes, shown, list(give_back), ask or self.ask())

    async def names(self, directory: int = 0) -> list[bytes]:
        with acting(self.by):
            rows = await self.mrc.service.readdir(
                directory or self.session.root.id, 0, 4096, self.ask().claim, self.session.id
            )
        return [row.name for row in rows]

    async def obey(self) -> None:
        """Listen, and give back what is recalled, telling all before."""

        async def listen() -> None:
            with acting(self.by):
                async for change in self.mrc.service.watch(self.session.id):
                    self.heard.append(change)
                    if change.what is What.RECALL and (lease := self.leases.pop(change.inode, None)) is not None:
                        shown = [lease.reserve.capability] if lease.reserve is not None else []
                        changes, self.pending = self.pending, []
                        await self.mrc.service.apply(changes, shown, [lease.id], self.ask())

        self.watching = asyncio.create_task(listen())
        await asyncio.sleep(0)

    def end(self) -> None:
        if self.watching is not None:
            self.watching.cancel()


async def test_what_a_holder_made_and_removed_is_there_and_gone_as_by_single_calls(mrc: Mrc) -> None:
    holder = await Holder.begin(mrc)
    lease = await holder.had()
    assert lease.directory == holder.session.root
    assert (holder.reserve.count, len(holder.numbers)) == (MOST_RESERVED, MOST_RESERVED)
    capability = mrc.read(holder.reserve.capability)
    assert (capability.count, capability.access) == (MOST_RESERVED, Access.READ | Access.WRITE)
    assert capability.file_id == f"{holder.session.volume.id}-{holder.reserve.first:x}"
    one, two = holder.made(b"one", 100), holder.made(b"two", 10)
    holder.gone(b"one", one.inode)
    three = holder.made(b"one", 7, change=Change(mode=0o600, mtime=5), ctime=time.time_ns())
    outcomes = await holder.tell()
    assert [outcome.errno for outcome in outcomes] == [0, 0, 0, 0]
    with acting(NODE1):
        found = await mrc.service.lookup(holder.session.root.id, b"one", holder.ask().claim, holder.session.id)
        assert found == outcomes[3].inode
        assert (found.id, found.size, stat.S_IMODE(found.mode), found.mtime) == (three.inode, 7, 0o600, 5)
        assert (found.owner, found.group, found.nlink) == ("alice@demo", "users@demo", 1)
        root = await mrc.service.getattr(holder.session.root.id, holder.session.id)
        assert root.mtime == three.when
        (volume,) = await mrc.service.volumes()
        assert (volume.used, volume.files) == (17, 3)
        opened = await mrc.service.open(two.inode, Open(Access.READ), holder.ask())
        assert mrc.capability(opened).layout == capability.layout
    holder.gone(b"two", two.inode)
    assert [outcome.errno for outcome in await holder.tell()] == [0]
    assert (await mrc.look(two.inode)).nlink == 0  # it is open
    with acting(NODE1):
        await mrc.service.close([Closed(opened.handle)], holder.ask())
        with refused(errno.ESTALE):
            await mrc.service.getattr(two.inode, holder.session.id)
        (volume,) = await mrc.service.volumes()
        assert (volume.used, volume.files) == (7, 2)
    (node,) = capability.layout.replicas[0].osds
    shares = [f"{holder.session.volume.id}-{number:x}" for number in (one.inode, two.inode)]
    await until(lambda: sorted(mrc.around.osds[node].deleted) == sorted(shares))


async def test_a_file_that_is_open_when_it_is_told_has_a_handle_and_others_see_how_it_grows(mrc: Mrc) -> None:
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    lease = await holder.had()
    made = holder.made(b"f", extent=None, access=Access.READ | Access.WRITE)
    (outcome,) = await holder.tell(lease.id)
    assert outcome.handle > 0
    capability = mrc.read(holder.reserve.capability)
    (node,) = capability.layout.replicas[0].osds
    share = f"{holder.session.volume.id}-{made.inode:x}"
    mrc.around.osds[node].states[share] = ShareState(share, 50, 0, 0, 0)
    with acting(NODE1):
        found = await mrc.service.lookup(other.session.root.id, b"f", other.ask().claim, other.session.id)
        assert found.size == 50
        await mrc.service.close([Closed(outcome.handle, Extent(60, 0), time.time_ns())], holder.ask())
    assert (await mrc.look(made.inode)).size == 60


async def test_looking_ahead_leaves_out_a_directory_that_others_have_leased(mrc: Mrc) -> None:
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    service, root, claim = mrc.service, holder.session.root.id, mrc.ask(other.session).claim
    with acting(NODE1):
        for name in (b"one", b"two", b"three"):
            made = await service.create(root, name, stat.S_IFDIR | 0o755, 0, None, holder.ask())
            if name == b"two":
                leased = made
    await holder.had(leased.id)
    with acting(NODE1):
        rows = await service.look_ahead(root, b"one", 10, claim, other.session.id)
        assert [row.name for row in rows] == [b"one", b"three"]
        rows = await service.look_ahead(root, b"one", 10, claim, holder.session.id)
        assert [row.name for row in rows] == [b"one", b"two", b"three"]


async def test_others_wait_until_a_holder_has_told_what_it_did(mrc: Mrc) -> None:
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    service, root, claim = mrc.service, holder.session.root.id, mrc.ask(other.session).claim
    with acting(NODE1):
        below = await service.create(root, b"below", stat.S_IFDIR | 0o755, 0, None, holder.ask())
        old = await service.open_name(root, b"old", WRITE, holder.ask())
        await service.close([Closed(old.handle)], holder.ask())

    def ask() -> Ask:
        return mrc.ask(other.session)

    looks: list[Callable[[], Awaitable[Any]]] = [
        lambda: service.lookup(root, b"fresh", claim, other.session.id),
        lambda: service.look_ahead(root, b"fresh", 100, claim, other.session.id),
        lambda: service.readdir(root, 0, 100, claim, other.session.id),
        lambda: service.getattr(root, other.session.id),
        lambda: service.resolve("home", "/fresh", claim),
        lambda: service.resolve("home", "/", claim),
        lambda: service.create(root, b"x", stat.S_IFREG | 0o644, 0, None, ask()),
        lambda: service.open_name(root, b"fresh", Open(Access.READ), ask()),
        lambda: service.link(old.inode.id, root, b"y", ask()),
        lambda: service.rename(root, b"x", root, b"fresh", 0, ask()),
        lambda: service.unlink(root, b"fresh", ask()),
        lambda: service.setattr(old.inode.id, Change(mode=0o640), ask()),
        lambda: service.setxattr(old.inode.id, b"user.a", b"1", 0, ask()),
        lambda: service.open(old.inode.id, Open(Access.WRITE), ask()),
        lambda: service.truncate(old.inode.id, 0, 0, ask()),
        lambda: service.find("home", "", "fresh", -1, -1, b"", b"", 10, claim),
    ]
    await holder.obey()
    for look in looks:
        mrc.service.desk.leases._visits.clear()  # nobody was here lately
        for handle in await _handles(mrc, other.session):
            with acting(NODE1):
                await service.close([Closed(handle)], ask())
        await holder.had()
        if b"fresh" not in await holder.names():
            holder.made(b"fresh", 3)
        with acting(NODE1):
            await look()
        assert not holder.pending
        assert not holder.leases
    # An empty directory that was leased is removed only if it still is empty.
    mrc.service.desk.leases._visits.clear()
    await holder.had(below.id)
    holder.made(b"inside", directory=below.id)
    with acting(NODE1), refused(errno.ENOTEMPTY):
        await service.rmdir(root, b"below", ask())
    holder.end()


async def _handles(mrc: Mrc, session: Session) -> list[int]:
    from xos.xtreemfs.mrc import handles

    return [row[0] for row in await mrc.service.store.read(lambda db: handles.open_in(db, session.id))]


async def test_who_was_there_lately_or_writes_a_file_of_it_keeps_others_from_a_lease(
    mrc: Mrc, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    assert await other.names() == []
    assert await holder.lease() is None
    monkeypatch.setattr(leasing, "QUIET_SECONDS", 0.0)
    lease = await holder.had()
    assert (await holder.had()).id == lease.id  # asked once more
    assert await other.lease() is None
    await holder.tell(lease.id)
    with acting(NODE1):
        opened = await mrc.service.open_name(other.session.root.id, b"f", WRITE, other.ask())
    assert await holder.lease() is None
    with acting(NODE1):
        await mrc.service.close([Closed(opened.handle)], other.ask())
        await mrc.service.open_name(other.session.root.id, b"f", WRITE, holder.ask())
    assert (await holder.had()).id > lease.id  # a file that it writes itself is no hindrance
    with acting(NODE1):
        with refused(errno.ESTALE):
            await mrc.service.lease(1 << 40, holder.ask())
        with refused(errno.ENOTDIR):
            await mrc.service.lease(opened.inode.id, holder.ask())
        with refused(errno.ESTALE):
            await mrc.service.lease(holder.session.root.id, Ask())
        with refused(errno.ESTALE):
            await mrc.service.reserve(lease.id, holder.ask())
    with acting(NODE2), refused(errno.EACCES):
        await mrc.service.lease(holder.session.root.id, holder.ask())


async def test_a_holder_that_is_silent_loses_its_leases_and_hears_so(mrc: Mrc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "TAKE_SECONDS", 0.3)
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    lease = await holder.had()
    late = holder.made(b"late", 5)
    begun = asyncio.get_running_loop().time()
    assert await other.names() == []
    assert asyncio.get_running_loop().time() - begun > 0.2
    with acting(NODE1):
        assert await mrc.service.hold(holder.session.id, [lease.id]) == []
        await mrc.service.create(other.session.root.id, b"theirs", stat.S_IFREG | 0o644, 0, None, other.ask())
    holder.made(b"theirs", 5)
    outcomes = await holder.tell()  # what its programs were told is done as far as it can be
    assert [outcome.errno for outcome in outcomes] == [0, errno.EEXIST]
    assert sorted(await other.names()) == [b"late", b"theirs"]
    assert (await mrc.look(late.inode)).size == 5


async def test_who_waited_for_a_lease_finds_the_names_free(mrc: Mrc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "QUIET_SECONDS", 0.2)
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    lease = await holder.had()
    waiting = asyncio.create_task(other.names())
    await asyncio.sleep(0.3)
    await holder.tell(lease.id)
    assert await holder.lease() is None
    assert await waiting == []


async def test_a_session_that_ends_ends_its_leases_and_one_that_holds_on_does_so_for_a_while(
    mrc: Mrc, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    await holder.had()
    waiting = asyncio.create_task(other.names())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    with acting(NODE1):
        await mrc.service.end(holder.session.id)
    assert await waiting == []
    monkeypatch.setattr(leasing, "ANYHOW_SECONDS", 0.3)
    monkeypatch.setattr(leasing, "QUIET_SECONDS", 0.0)
    stubborn = await Holder.begin(mrc)
    lease = await stubborn.had()

    async def keep() -> None:
        while True:
            with acting(NODE1):
                await mrc.service.hold(stubborn.session.id, [lease.id])
            await asyncio.sleep(0.01)

    keeping = asyncio.create_task(keep())
    assert await other.names() == []
    keeping.cancel()


async def test_leases_outlive_the_mrc_and_so_does_what_was_answered(
    grid: Grid, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = Around("node1")
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        await mrc.volume()
        holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
        lease = await holder.had()
        made, asked = holder.made(b"f", 9), holder.ask()
        batch = list(holder.pending)
        first = await holder.tell(ask=asked)
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        holder.mrc = other.mrc = mrc
        mrc.number = 1000
        with acting(NODE1):
            assert await mrc.service.hold(holder.session.id, [lease.id, 77]) == [lease.id]
        holder.pending = batch
        assert await holder.tell(ask=asked) == first  # asked once more, done once
        waiting = asyncio.create_task(other.names())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        more = holder.made(b"g", 1)  # by the reserve of before
        await holder.tell(lease.id)
        assert sorted(await waiting) == [b"f", b"g"]
        # Under another session, after the answer was lost: the same file.
        again = await Holder.begin(mrc)
        again.leases, again.pending = holder.leases, batch
        assert [(one.errno, one.inode and one.inode.id) for one in await again.tell()] == [(0, made.inode)]
        assert more.inode != made.inode
        monkeypatch.setattr(leasing, "QUIET_SECONDS", 0.0)
        assert (await again.had()).id > lease.id
        assert again.numbers[0] > more.inode


async def test_numbers_are_of_the_reserve_that_its_holder_shows(mrc: Mrc, grid: Grid) -> None:
    holder, root = await Holder.begin(mrc), mrc.service.desk
    await mrc.volume("other")
    await holder.had()
    capability = mrc.read(holder.reserve.capability)

    async def tells(number: int, signed: Signed, by: Identity = NODE1) -> list[Outcome]:
        made = Applied(made=holder.made(b"n%d" % number, inode=number))
        with acting(by):
            return await mrc.service.apply([made], [signed], [], holder.ask())

    def forged(by: str, role: str, **changes: Any) -> Signed:
        changed = msgspec.structs.replace(capability, **changes)
        return sign(msgspec.msgpack.encode(changed), grid.make_machine(by, role=role), purpose=CAPABILITY_PURPOSE)

    first, good = holder.reserve.first, holder.reserve.capability
    for number in (first - 1, first + MOST_RESERVED, 0, -1):
        with refused(errno.EINVAL):
            await tells(number, good)
    for signed in (
        msgspec.structs.replace(good, payload=good.payload[:-1] + b"\1"),
        msgspec.structs.replace(good, signature=b""),
        msgspec.structs.replace(good, purpose="job"),
        msgspec.structs.replace(good, payload=b"\xff" * 10),
        msgspec.structs.replace(good, payload=b"\0" * (1 << 17)),
        forged("node1", "resource"),
        forged("core", "core", holder="node2"),
        forged("core", "core", count=MOST_RESERVED + 1),
        forged("core", "core", count=0),
        forged("core", "core", access=Access.READ),
        forged("core", "core", expires=int(time.time()) - 100_000),
        forged("core", "core", layout=msgspec.structs.replace(capability.layout, update=Update.QUORUM)),
    ):
        with refused(errno.EACCES):
            await tells(first, signed)
    other = (await mrc.session("other")).volume
    for file_id in (f"{other.id}-{first:x}", f"x-{first:x}"):
        with refused(errno.EINVAL):
            await tells(first, forged("core", "core", file_id=file_id))
    with acting(NODE1), refused(errno.EINVAL):  # twice in one batch
        twice = [Applied(made=holder.made(name, inode=first)) for name in (b"a", b"b")]
        await mrc.service.apply(twice, [good], [], holder.ask())
    for empty in (Applied(), Applied(twice[0].made, Gone(1, b"a", 1, 0, None))):
        with acting(NODE1), refused(errno.EINVAL):
            await mrc.service.apply([empty], [good], [], holder.ask())
    with acting(NODE1), refused(errno.E2BIG):
        await mrc.service.apply([Applied()] * (MOST_BATCH + 1), [good], [], holder.ask())
    holder.pending = []
    assert await holder.names() == []
    # One that has run out at the OSDs still counts, since what was made by it may be told late.
    assert mrc.service.reserves.read(good, "node1", time.time() + 3600)
    assert mrc.service.reserves.read(good, "node1", time.time() + 100_000) is None
    assert [one.errno for one in await tells(first, good)] == [0]
    holder.pending = []
    with acting(NODE1):
        used = [Applied(made=holder.made(b"again", inode=first))]
        assert [one.errno for one in await mrc.service.apply(used, [good], [], holder.ask())] == [errno.EINVAL]
    assert await holder.names() == [b"n%d" % first]
    assert root.leases.everywhere()


async def test_rights_names_and_attributes_are_decided_as_by_single_calls(mrc: Mrc) -> None:
    holder = await Holder.begin(mrc)
    with acting(NODE1):
        ask = holder.ask()
        private = await mrc.service.create(holder.session.root.id, b"p", stat.S_IFDIR | 0o700, 0, None, ask)
    await holder.had()
    bob = mrc.ask(holder.session, "bob@demo").claim
    holder.made(b"x", directory=private.id, claim=bob)
    holder.made(b"a/b")
    holder.made(b"n" * 256)
    holder.made(b"p")
    holder.made(b"ok", extent=Extent(1, 3))
    holder.made(b"ok", extent=Extent(-1, 0))
    holder.made(b"ok", change=Change(owner="bob@demo"))
    holder.made(b"ok", change=Change(size=1))
    holder.made(b"ok", directory=1 << 40)
    mine = holder.made(b"ok")
    holder.gone(b"ok", mine.inode + 1)
    holder.gone(b"none", 5)
    holder.gone(b"p", private.id)
    outcomes = await holder.tell()
    assert [one.errno for one in outcomes] == [
        errno.EACCES,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.EEXIST,
        errno.EINVAL,
        errno.EINVAL,
        errno.EPERM,
        errno.EINVAL,
        errno.ESTALE,
        0,
        errno.ENOENT,
        errno.ENOENT,
        errno.EISDIR,
    ]
    with acting(NODE1):  # the root is sticky
        gone = Applied(gone=Gone(holder.session.root.id, b"ok", mine.inode, 0, bob))
        (outcome,) = await mrc.service.apply([gone], [], [], holder.ask())
        assert outcome.errno == errno.EPERM
    with acting(ALICE), refused(errno.EACCES):
        await mrc.service.apply([gone], [], [], Ask(holder.session.id, 999))


async def test_there_is_no_reserve_where_more_is_to_be_looked_at_for_each_file(mrc: Mrc) -> None:
    for name, policy, quota in (
        ("replicas", Policy(update=Update.QUORUM, replicas=3), 0),
        ("quota", Policy(), 1 << 20),
        ("nowhere", Policy(osd_selection=("attribute:site=moon",)), 0),
        ("quotas", Policy(), 0),
        ("striped", Policy(), 0),
    ):
        await mrc.volume(name, policy=policy, quota=quota)
        holder = Holder(mrc, await mrc.session(name))
        if name == "quotas":
            with acting(ADMIN):
                await mrc.service.set_quota(name, Quota("user", "", 100), Ask())
        lease = await holder.had()
        assert (lease.reserve is None) is (name != "striped"), name


async def test_quotas_and_snapshots_are_of_all_that_holders_have_done(mrc: Mrc) -> None:
    holder = await Holder.begin(mrc)
    await holder.obey()
    await holder.had()
    holder.made(b"f", 5)
    with acting(ADMIN):
        made = await mrc.service.make_snapshot("home", "s", "/", Ask())
    assert made.files == 2
    mrc.service.desk.leases._visits.clear()
    await holder.had()
    holder.made(b"g", 5)
    with acting(ADMIN):
        await mrc.service.set_quota("home", Quota("user", "", 100), Ask())
    assert not holder.pending
    mrc.service.desk.leases._visits.clear()
    assert (await holder.had()).reserve is None
    shown = await mrc.session("home@s")
    assert await Holder(mrc, shown).lease() is None
    holder.end()


async def test_who_lists_an_osd_finds_the_inode_of_all_that_holders_wrote(mrc: Mrc) -> None:
    holder = await Holder.begin(mrc)
    await holder.obey()
    await holder.had()
    made = holder.made(b"f", 5)
    assert (await mrc.look(made.inode)).size == 5  # as xtfs_cleanup asks before it calls a share an orphan
    holder.end()


async def test_what_holders_do_is_told_to_who_watches(mrc: Mrc) -> None:
    holder, other = await Holder.begin(mrc), await Holder.begin(mrc)
    await other.obey()
    await holder.had()
    made = holder.made(b"f", 5)
    await holder.tell()
    root = holder.session.root.id
    await until(lambda: len(other.heard) == 2)
    assert set(other.heard) == {Changed(What.ENTRY, root, b"f"), Changed(What.INODE, root)}
    holder.gone(b"f", made.inode)
    await holder.tell()
    await until(lambda: len(other.heard) == 5)
    assert Changed(What.INODE, made.inode) in other.heard
    assert not any(change.what is What.RECALL for change in other.heard)
    other.end()


async def test_two_that_work_in_turns_lose_nothing(mrc: Mrc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "QUIET_SECONDS", 0.0)
    one, two = await Holder.begin(mrc), await Holder.begin(mrc)
    for holder in (one, two):
        await holder.obey()
    wanted = set[bytes]()
    for turn in range(20):
        holder = (one, two)[turn % 2]
        assert set(await holder.names()) == wanted
        await holder.had()
        for number in range(5):
            name = b"%d-%d" % (turn, number)
            holder.made(name, number)
            wanted.add(name)
    assert set(await one.names()) | set(await two.names()) == wanted
    one.end()
    two.end()


def test_a_lease_is_taken_only_after_its_holder_has_stopped_to_use_it() -> None:
    from xos.xtreemfs.api import HOLD_SECONDS

    assert HOLD_SECONDS + 1.0 <= TAKE_SECONDS
