# SPDX-License-Identifier: BSD-3-Clause
"""The MRC: who may ask, what is opened and signed, what is done once, what outlives it."""

from __future__ import annotations

import contextlib
import errno
import stat
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import msgspec
import pytest

from support.dixi import Grid, make_grid, until
from support.mrc import ADMIN, ALICE, BOB, EVE, NODE1, Around, Mrc, acting, serving
from xos.common.identity import Identity, Kind
from xos.xtreemfs.api import NOW, Access, Ask, Change, Claim, Closed, Extent, Inode, Open, Policy, Session, ShareState
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import finding
from xos.xtreemfs.mrc.calls import volumes as volume_calls
from xos.xtreemfs.mrc.osds import FRESH_SECONDS

WRITE = Open(Access.READ | Access.WRITE, create=True, mode=0o644)
READ = Open(Access.READ)


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


@pytest.fixture
async def session(mrc: Mrc) -> Session:
    return await mrc.session()


async def opened(mrc: Mrc, session: Session, name: bytes, wanted: Open = WRITE, user: str = "alice@demo") -> Inode:
    return (await mrc.service.open_name(session.root.id, name, wanted, mrc.ask(session, user))).inode


async def test_a_file_is_made_placed_opened_and_its_capability_signed(mrc: Mrc, session: Session) -> None:
    with acting(NODE1):
        made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        capability = mrc.capability(made)
        assert made.created
        assert (made.inode.owner, made.inode.group, stat.S_IMODE(made.inode.mode)) == (
            "alice@demo",
            "users@demo",
            0o644,
        )
        assert (capability.holder, capability.access) == ("node1", Access.READ | Access.WRITE)
        assert capability.file_id == f"{session.volume.id}-{made.inode.id:x}"
        assert len(capability.layout.replicas) == 1
        assert await mrc.service.lookup(session.root.id, b"f", mrc.ask(session).claim) == made.inode
        again = await mrc.service.open_name(session.root.id, b"f", READ, mrc.ask(session, "bob@demo"))
        assert not again.created
        assert mrc.capability(again).layout == capability.layout


async def test_what_is_asked_twice_by_one_number_is_done_once_and_answered_the_same(mrc: Mrc, session: Session) -> None:
    with acting(NODE1):
        ask = mrc.ask(session)
        first = await mrc.service.create(session.root.id, b"d", stat.S_IFDIR | 0o755, 0, None, ask)
        assert await mrc.service.create(session.root.id, b"d", stat.S_IFDIR | 0o755, 0, None, ask) == first
        with refused(errno.EEXIST):
            await mrc.service.create(session.root.id, b"d", stat.S_IFDIR | 0o755, 0, None, mrc.ask(session))
        ask = mrc.ask(session)
        one = await mrc.service.open_name(session.root.id, b"f", WRITE, ask)
        two = await mrc.service.open_name(session.root.id, b"f", WRITE, ask)
        assert (one.handle, one.created) == (two.handle, two.created)


async def test_answers_sessions_and_open_files_outlive_the_mrc(grid: Grid, database: str, tmp_path: Path) -> None:
    around = Around("node1")
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        await mrc.volume()
        session = await mrc.session()
        with acting(NODE1):
            ask = mrc.ask(session)
            made = await mrc.service.open_name(session.root.id, b"f", WRITE, ask)
            await mrc.service.unlink(session.root.id, b"f", mrc.ask(session))
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        with acting(NODE1):
            again = await mrc.service.open_name(session.root.id, b"f", WRITE, ask)
            assert (again.handle, again.created) == (made.handle, True)
            assert (await mrc.look(made.inode)).nlink == 0
            assert not around.osds["node1"].deleted
            mrc.number = 100
            await mrc.service.close([Closed(made.handle)], mrc.ask(session))
            with refused(errno.ESTALE):
                await mrc.look(made.inode)
            await until(lambda: bool(around.osds["node1"].deleted))
        assert around.osds["node1"].deleted == [f"{session.volume.id}-{made.inode.id:x}"]


async def test_bytes_are_deleted_when_the_osd_is_back_even_after_a_restart(
    grid: Grid, database: str, tmp_path: Path
) -> None:
    around = Around("node1")
    around.osds["node1"].up = False
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        await mrc.volume()
        session = await mrc.session()
        with acting(NODE1):
            made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
            await mrc.service.close([Closed(made.handle)], mrc.ask(session))
            await mrc.service.unlink(session.root.id, b"f", mrc.ask(session))
    around.osds["node1"].up = True
    async with serving(grid, tmp_path, around=around, database=database):
        await until(lambda: len(around.osds["node1"].deleted) == 1)


async def test_sizes_grow_by_what_writers_say_and_what_is_older_than_a_truncation_counts_no_more(
    mrc: Mrc, session: Session
) -> None:
    with acting(NODE1):
        made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        grown = await mrc.service.update(made.handle, Extent(100, 0), 5_000, mrc.ask(session))
        assert (grown.size, grown.mtime) == (100, 5_000)
        assert (await mrc.service.update(made.handle, Extent(50, 0), NOW, mrc.ask(session))).size == 100
        cut = await mrc.service.truncate(made.inode.id, 10, made.handle, mrc.ask(session))
        assert (cut.inode.size, cut.inode.epoch, mrc.capability(cut).epoch) == (10, 1, 1)
        assert (await mrc.service.update(made.handle, Extent(100, 0), NOW, mrc.ask(session))).size == 10
        await mrc.service.close([Closed(made.handle, Extent(20, 1), NOW)], mrc.ask(session))
        assert (await mrc.look(made.inode)).size == 20
        with refused(errno.EBADF):
            await mrc.service.update(made.handle, Extent(30, 1), NOW, mrc.ask(session))


async def test_rights_taken_away_are_revoked_at_osds_but_not_from_who_has_it_open(mrc: Mrc, session: Session) -> None:
    with acting(NODE1):
        made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        (osd,) = mrc.capability(made).layout.replicas[0].osds
        await mrc.service.update(made.handle, Extent(100, 0), NOW, mrc.ask(session))
        await mrc.service.setattr(made.inode.id, Change(mode=0o600), mrc.ask(session))
        await until(lambda: bool(mrc.around.osds[osd].revoked))
        assert mrc.around.osds[osd].revoked == [(mrc.capability(made).file_id, 1)]
        (renewed,) = await mrc.service.renew(session.id, [made.handle])
        assert renewed is not None
        assert (mrc.capability(renewed).revision, renewed.inode.size) == (1, 100)
        assert (await mrc.service.update(made.handle, Extent(200, 0), NOW, mrc.ask(session))).size == 200
        await mrc.service.setattr(made.inode.id, Change(mode=0o644), mrc.ask(session))
        (renewed,) = await mrc.service.renew(session.id, [made.handle])
        assert renewed is not None
        assert mrc.capability(renewed).revision == 1


async def test_files_of_a_client_that_vanished_are_as_long_as_osds_say(mrc: Mrc, session: Session) -> None:
    with acting(NODE1):
        made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        capability = mrc.capability(made)
        (osd,) = capability.layout.replicas[0].osds
        mrc.around.osds[osd].states[capability.file_id] = ShareState(capability.file_id, 777, 0, 0, 0)
        mrc.service.desk.live[session.id].heard -= 61
        await until(lambda: session.id not in mrc.service.desk.live)
        with refused(errno.ESTALE):
            await mrc.service.keep(session.id)
        async with _within():
            while (await mrc.look(made.inode)).size != 777:
                pass


@contextlib.asynccontextmanager
async def _within() -> AsyncIterator[None]:
    import asyncio

    async with asyncio.timeout(15):
        yield


async def test_nobody_has_more_sessions_than_a_thousand(mrc: Mrc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_calls, "MOST_SESSIONS", 2)
    first, _ = await mrc.session(by=ALICE), await mrc.session(by=ALICE)
    with refused(errno.EUSERS):
        await mrc.session(by=ALICE)
    await mrc.session(by=BOB)
    with acting(ALICE):
        await mrc.service.end(first.id)
    await mrc.session(by=ALICE)


async def test_who_may_speak_for_whom(mrc: Mrc, session: Session) -> None:
    service, name = mrc.service, session.root.id
    outsider = Identity(Kind.MACHINE, "node9", vos=("other",))
    with acting(outsider), refused(errno.EACCES):
        await service.lookup(name, b"f", Claim("alice@demo"))
    with acting(ALICE), refused(errno.EACCES):
        await service.lookup(name, b"f", Claim("bob@demo"))
    with acting(NODE1), refused(errno.EACCES):
        await service.lookup(name, b"f", Claim("uid.0@node2"))
    with acting(NODE1), refused(errno.EACCES):
        await service.lookup(name, b"f", Claim("alice@demo", ("root@node2",), "users@demo"))
    with acting(ALICE), refused(errno.EACCES):
        await service.keep(session.id)
    with acting(ALICE):
        made = await service.create(name, b"private", stat.S_IFDIR | 0o700, 0, None, Ask())
        assert (made.owner, made.group) == ("alice@demo", "users@demo")
    for stranger in (BOB, EVE, NODE1):
        with acting(stranger), refused(errno.EACCES):
            await service.readdir(made.id, 0, 10)
    with acting(ADMIN):
        assert await service.readdir(made.id, 0, 10) == []


async def test_a_machine_s_root_is_the_superuser_only_where_the_mrc_says_so(grid: Grid, tmp_path: Path) -> None:
    root = Claim("root@node1", ("root@node1",), "root@node1")
    async with serving(grid, tmp_path, superusers=("node1",)) as mrc:
        await mrc.volume()
        session = await mrc.session()
        with acting(ALICE):
            made = await mrc.service.create(session.root.id, b"private", stat.S_IFDIR | 0o700, 0, None, Ask())
        with acting(NODE1):
            await mrc.service.readdir(made.id, 0, 10, root)
            changed = await mrc.service.setattr(made.id, Change(owner="bob@demo"), Ask(claim=root))
            assert changed.owner == "bob@demo"


async def test_numbers_that_no_database_holds_are_refused(mrc: Mrc, session: Session) -> None:
    huge = (1 << 64) - 1
    with acting(NODE1):
        for call in _strange(mrc, session, huge):
            with pytest.raises(Refused):
                await call
        assert (await mrc.look(session.root)).id == session.root.id


def _strange(mrc: Mrc, session: Session, huge: int) -> Iterator[Awaitable[object]]:
    service = mrc.service
    yield service.getattr(huge)
    yield service.getattr(-1)
    yield service.lookup(huge, b"f", mrc.ask(session).claim)
    yield service.look_ahead(huge, b"f", 10, mrc.ask(session).claim)
    yield service.look_ahead(session.root.id, b"f", 0, mrc.ask(session).claim)
    yield service.look_ahead(session.root.id, b"f", huge, mrc.ask(session).claim)
    yield service.readdir(session.root.id, huge, 10, mrc.ask(session).claim)
    yield service.readdir(session.root.id, 0, huge, mrc.ask(session).claim)
    yield service.create(session.root.id, b"f", huge, 0, None, mrc.ask(session))
    yield service.create(session.root.id, b"a/b", stat.S_IFREG, 0, None, mrc.ask(session))
    yield service.create(session.root.id, b"f", stat.S_IFREG, 0, None, mrc.ask(session, number=huge))
    yield service.setattr(session.root.id, Change(mtime=huge), mrc.ask(session))
    yield service.setattr(session.root.id, Change(owner="x\0y" * 100), mrc.ask(session))
    yield service.open(huge, WRITE, mrc.ask(session))
    yield service.update(huge, Extent(huge, huge), huge, mrc.ask(session))
    yield service.truncate(session.root.id, huge, 0, mrc.ask(session))
    yield service.resolve("home", "\udcff", mrc.ask(session).claim)
    yield service.begin("no such volume", "x")
    yield service.begin("home", "x" * 10_000)


async def test_quotas_of_volume_user_and_group_limit_what_a_capability_allows(mrc: Mrc, session: Session) -> None:
    from xos.xtreemfs.api import Quota

    service = mrc.service
    with acting(ADMIN):
        await service.change_volume("home", Policy(), 1000, Ask())
        await service.set_quota("home", Quota("user", "alice@demo", 500), Ask())
        await service.set_quota("home", Quota("group", "", 800), Ask())
    with acting(NODE1):
        made = await service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        assert mrc.capability(made).room == 500
        await service.close([Closed(made.handle, Extent(300, 0), NOW)], mrc.ask(session))
        assert mrc.capability(await service.open(made.inode.id, WRITE, mrc.ask(session))).room == 200
        bob = await service.open_name(session.root.id, b"g", WRITE, mrc.ask(session, "bob@demo"))
        assert mrc.capability(bob).room == 500
    with acting(BOB), refused(errno.EACCES):
        await service.set_quota("home", Quota("user", "bob@demo", 0), Ask())
    assert Quota("user", "alice@demo", 500, 300) in await service.quotas("home")
    space = await service.space("home")
    assert (space.total, space.free, space.files) == (1000, 700, 3)


async def test_lists_give_rights_to_named_users_and_pass_on_to_what_is_made(mrc: Mrc, session: Session) -> None:
    service, acl = mrc.service, b"system.posix_acl_access"
    with acting(ALICE):
        made = await service.create(session.root.id, b"d", stat.S_IFDIR | 0o700, 0, None, Ask())
        whole = b"user::rwx,user:bob@demo:r-x,group::---,mask::rwx,other::---"
        await service.setxattr(made.id, acl, whole, 0, Ask())
        await service.setxattr(made.id, b"system.posix_acl_default", whole, 0, Ask())
        assert stat.S_IMODE((await mrc.look(made)).mode) == 0o770
        got = await service.getxattr(made.id, acl)
        assert set(got.split(b",")) == set(whole.split(b","))
        child = await service.create(made.id, b"c", stat.S_IFDIR | 0o750, 0, None, Ask())
        assert await service.listxattr(child.id) == [acl, b"system.posix_acl_default"]
    with acting(BOB):
        await service.readdir(made.id, 0, 10)
        await service.readdir(child.id, 0, 10)
        with refused(errno.EACCES):
            await service.create(made.id, b"x", stat.S_IFDIR | 0o700, 0, None, Ask())
        with refused(errno.EPERM):
            await service.setxattr(made.id, acl, whole, 0, Ask())
    with acting(ALICE):
        await service.setattr(made.id, Change(mode=0o700), Ask())
    with acting(BOB), refused(errno.EACCES):
        await service.readdir(made.id, 0, 10)
    with acting(ALICE), refused(errno.EINVAL):
        await service.setxattr(made.id, acl, b"user::rwx", 0, Ask())


async def test_watchers_hear_what_others_change_and_not_what_they_do_themselves(mrc: Mrc, session: Session) -> None:
    import asyncio

    other = await mrc.session()
    with acting(NODE1):
        heard = mrc.service.watch(session.id)
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        await opened(mrc, session, b"mine")
        await opened(mrc, other, b"theirs")
        changed = await asyncio.wait_for(waiting, 15)
        assert (changed.inode, changed.name) == (session.root.id, b"theirs")
        await heard.aclose()  # type: ignore[attr-defined]


async def test_a_volume_is_removed_with_all_that_is_in_it_when_its_owner_insists(mrc: Mrc) -> None:
    with acting(ALICE):
        await mrc.service.make_volume("mine", 0o700, Policy(), 0, Ask())
        session = await mrc.session("mine", by=ALICE)
        made = await mrc.service.open_name(session.root.id, b"f", WRITE, Ask(session.id))
        with refused(errno.ENOTEMPTY):
            await mrc.service.remove_volume("mine", False, Ask())
    with acting(BOB), refused(errno.EACCES):
        await mrc.service.remove_volume("mine", True, Ask())
    with acting(ALICE):
        await mrc.service.remove_volume("mine", True, Ask())
        with refused(errno.ESTALE):
            await mrc.look(made.inode)
    assert [volume.name for volume in await mrc.service.volumes()] == ["home"]
    await until(lambda: sum(len(osd.deleted) for osd in mrc.around.osds.values()) == 1)


async def test_files_are_found_by_name_owner_size_and_attribute(mrc: Mrc, session: Session) -> None:
    service = mrc.service
    with acting(ALICE):
        made = await service.create(session.root.id, b"d", stat.S_IFDIR | 0o755, 0, None, Ask())
        file = await service.create(made.id, b"x.dat", stat.S_IFREG | 0o644, 0, None, Ask())
        await service.setxattr(file.id, b"user.kind", b"raw", 0, Ask())
        hidden = await service.create(session.root.id, b"h", stat.S_IFDIR | 0o700, 0, None, Ask())
        await service.create(hidden.id, b"y.dat", stat.S_IFREG | 0o644, 0, None, Ask())
    with acting(BOB):
        assert [one.path for one in await service.find("home", "", "*.dat", -1, -1, b"", b"", 10)] == ["d/x.dat"]
        assert [one.path for one in await service.find("home", "", "", -1, -1, b"user.kind", b"raw", 10)] == ["d/x.dat"]
        assert not await service.find("home", "bob@demo", "", -1, -1, b"", b"", 10)
        assert not await service.find("home", "", "*.dat", 1, -1, b"", b"", 10)


async def test_a_large_volume_is_searched_piece_by_piece(
    mrc: Mrc, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PIECE", 3)
    with acting(ALICE):
        for number in range(10):
            await mrc.service.create(session.root.id, b"f%d" % number, stat.S_IFREG, 0, None, Ask())
        found = [one.path for one in await mrc.service.find("home", "", "f?", -1, -1, b"", b"", 100)]
        assert found == [f"f{number}" for number in range(10)]
        assert len(await mrc.service.find("home", "", "f[5-9]", -1, -1, b"", b"", 2)) == 2


async def test_paths_are_resolved_over_links_but_not_out_of_the_volume(mrc: Mrc, session: Session) -> None:
    service = mrc.service
    with acting(ALICE):
        made = await service.create(session.root.id, b"d", stat.S_IFDIR | 0o755, 0, None, Ask())
        file = await service.create(made.id, b"f", stat.S_IFREG | 0o644, 0, None, Ask())
        await service.create(made.id, b"up", stat.S_IFLNK | 0o777, 0, b"/../../d", Ask())
        await service.create(made.id, b"loop", stat.S_IFLNK | 0o777, 0, b"loop", Ask())
        assert (await service.resolve("home", "/d/up/./f")).id == file.id
        assert (await service.resolve("home", "../../..")).id == session.root.id
        with refused(errno.ELOOP):
            await service.resolve("home", "d/loop/f")
        with refused(errno.ENOTDIR):
            await service.resolve("home", "d/f/..")


async def test_files_of_a_vo_are_kept_off_osds_of_others(grid: Grid, tmp_path: Path) -> None:
    around = Around("node1", "node2")
    around.records["node1"] = msgspec.structs.replace(around.records["node1"], attributes=(("vos", "other,third"),))
    async with serving(grid, tmp_path, around=around) as mrc:
        await mrc.volume()
        session = await mrc.session()
        with acting(NODE1):
            for number in range(10):
                made = await mrc.service.open_name(session.root.id, b"f%d" % number, WRITE, mrc.ask(session))
                assert mrc.capability(made).layout.replicas[0].osds == ("node2",)
            foreign = await mrc.service.open_name(session.root.id, b"g", WRITE, mrc.ask(session, "eve@other"))
            assert mrc.capability(foreign).layout.replicas
            around.records = {"node1": around.records["node1"]}
            await mrc.service.osds.look()
            with refused(errno.ENOSPC):
                await mrc.service.open_name(session.root.id, b"h", WRITE, mrc.ask(session))
            with refused(errno.ENOENT):
                await mrc.service.lookup(session.root.id, b"h", mrc.ask(session).claim)


async def test_who_finds_no_room_has_the_osds_that_have_come_meanwhile(grid: Grid, tmp_path: Path) -> None:
    around = Around("node1")
    node1, around.records = around.records["node1"], {}
    async with serving(grid, tmp_path, around=around) as mrc:
        await mrc.volume()
        session = await mrc.session()
        with acting(NODE1):
            with refused(errno.ENOSPC):
                await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
            around.records["node1"] = msgspec.structs.replace(node1, suspect=True)
            await mrc.service.osds.look()
            around.records["node1"] = node1
            mrc.service.osds._looked -= FRESH_SECONDS
            made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
    assert mrc.capability(made).layout.replicas[0].osds == ("node1",)
