# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots at the MRC: what is copied, what cannot be changed, who may, and what OSDs are told."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from support.dixi import Grid, make_grid, until
from support.mrc import ADMIN, ALICE, BOB, NODE1, Around, Mrc, acting, serving
from xos.xtreemfs.api import (
    NOW,
    Access,
    Ask,
    Change,
    Claim,
    Closed,
    Extent,
    Open,
    Policy,
    Quota,
    Session,
    ShareState,
    Status,
    Update,
    Volume,
)
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import snapshots

WRITE = Open(Access.READ | Access.WRITE, create=True, mode=0o644)
READ = Open(Access.READ)
DIRECTORY = stat.S_IFDIR | 0o755


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


async def snapshot(mrc: Mrc, name: str = "s1", path: str = "/", volume: str = "home") -> Volume:
    with acting(ADMIN):
        return await mrc.service.make_snapshot(volume, name, path, Ask())


async def write(mrc: Mrc, session: Session, parent: int, name: bytes, size: int) -> int:
    """A file that was closed with so many bytes."""
    with acting(NODE1):
        made = await mrc.service.open_name(parent, name, WRITE, mrc.ask(session))
        await mrc.service.close([Closed(made.handle, Extent(size, made.inode.epoch), NOW)], mrc.ask(session))
    return made.inode.id


async def tree(mrc: Mrc, root: int) -> dict[bytes, object]:
    """Names, and what anybody can know of them."""
    claim, found = Claim("root@node1", ("root@node1",), "root@node1"), dict[bytes, object]()
    with acting(NODE1):
        for row in await mrc.service.readdir(root, 0, 1000, claim):
            inode = row.inode
            seen = msgspec.structs.replace(inode, id=0, parent=0, origin=0, atime=0)
            found[row.name] = (seen, await tree(mrc, inode.id) if inode.is_directory else inode.nlink)
    return found


async def test_a_snapshot_has_the_names_and_attributes_of_its_moment(mrc: Mrc, session: Session) -> None:
    root = session.root.id
    with acting(NODE1):
        below = await mrc.service.create(root, b"d", DIRECTORY, 0, None, mrc.ask(session))
        await mrc.service.create(root, b"l", stat.S_IFLNK | 0o777, 0, b"d/f", mrc.ask(session))
    file = await write(mrc, session, below.id, b"f\xff", 100)
    with acting(NODE1):
        await mrc.service.link(file, root, b"hard", mrc.ask(session))
        await mrc.service.setxattr(file, b"user.a", b"1", 0, mrc.ask(session))
    before = await tree(mrc, root)
    made = await snapshot(mrc)
    assert (made.name, made.origin, made.number, made.used, made.path) == ("home@s1", "home", 1, 100, "/")
    with acting(NODE1):
        await mrc.service.unlink(root, b"hard", mrc.ask(session))
        await mrc.service.rename(below.id, b"f\xff", root, b"g", 0, mrc.ask(session))
        await mrc.service.setxattr(file, b"user.a", b"2", 0, mrc.ask(session))
        await mrc.service.rmdir(root, b"d", mrc.ask(session))
    await write(mrc, session, root, b"new", 5)
    assert await tree(mrc, made.root) == before
    again = await mrc.session("home@s1")
    assert again.volume.origin == "home"
    with acting(NODE1):
        copy = await mrc.service.resolve("home@s1", "/hard", mrc.ask(again).claim)
        assert (copy.origin, copy.nlink, copy.size) == (file, 2, 100)
        assert await mrc.service.getxattr(copy.id, b"user.a", mrc.ask(again).claim) == b"1"
        found = await mrc.service.find("home@s1", "alice@demo", "", 50, -1, b"", b"", 10, mrc.ask(again).claim)
        assert [one.path for one in found] == ["d/f\\xff", "hard"]


async def test_a_file_of_a_snapshot_is_opened_by_a_capability_that_names_its_origin(mrc: Mrc, session: Session) -> None:
    file = await write(mrc, session, session.root.id, b"f", 7)
    made = await snapshot(mrc)
    there = await mrc.session("home@s1")
    with acting(NODE1):
        opened = await mrc.service.open_name(there.root.id, b"f", READ, mrc.ask(there))
        capability = mrc.capability(opened)
        assert capability.origin == f"{session.volume.id}-{file:x}"
        assert capability.file_id == f"{made.id}-{opened.inode.id:x}"
        assert (capability.snapshot, capability.layout.update, capability.layout.version) == (1, Update.READ_ONLY, 0)
        live = mrc.capability(await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session)))
        assert (live.snapshot, live.origin) == (1, "")


async def test_nothing_in_a_snapshot_can_be_changed_not_even_by_a_superuser(
    grid: Grid, database: str, tmp_path: Path
) -> None:
    async with serving(grid, tmp_path, database=database, superusers=("node1",)) as mrc:
        await mrc.volume()
        live = await mrc.session()
        file = await write(mrc, live, live.root.id, b"f", 1)
        with acting(NODE1):
            await mrc.service.create(live.root.id, b"d", DIRECTORY, 0, None, mrc.ask(live))
        await snapshot(mrc)
        session = await mrc.session("home@s1")
        root, service = session.root.id, mrc.service
        before = await tree(mrc, root)
        with acting(NODE1):
            inode = await service.resolve("home@s1", "/f", mrc.ask(session).claim)
            directory = await service.resolve("home@s1", "/d", mrc.ask(session).claim)

            def ask() -> Ask:
                asked = mrc.ask(session)
                return msgspec.structs.replace(asked, claim=Claim("root@node1", ("root@node1",), "root@node1"))

            for change in (
                lambda: service.create(root, b"x", DIRECTORY, 0, None, ask()),
                lambda: service.open_name(root, b"x", WRITE, ask()),
                lambda: service.open(inode.id, WRITE, ask()),
                lambda: service.open(inode.id, Open(Access.READ, truncate=True), ask()),
                lambda: service.truncate(inode.id, 0, 0, ask()),
                lambda: service.unlink(root, b"f", ask()),
                lambda: service.rmdir(root, b"d", ask()),
                lambda: service.rename(root, b"f", root, b"g", 0, ask()),
                lambda: service.rename(root, b"f", live.root.id, b"g", 0, ask()),
                lambda: service.rename(live.root.id, b"f", root, b"g", 0, ask()),
                lambda: service.link(inode.id, root, b"h", ask()),
                lambda: service.link(file, root, b"h", ask()),
                lambda: service.link(inode.id, live.root.id, b"h", ask()),
                lambda: service.setattr(inode.id, Change(mode=0o777), ask()),
                lambda: service.setattr(inode.id, Change(owner="bob@demo"), ask()),
                lambda: service.setattr(root, Change(mtime=NOW), ask()),
                lambda: service.setxattr(inode.id, b"user.a", b"1", 0, ask()),
                lambda: service.setxattr(inode.id, b"trusted.a", b"1", 0, ask()),
                lambda: service.setxattr(
                    inode.id, b"system.posix_acl_access", b"user::rw-,group::---,other::---", 0, ask()
                ),
                lambda: service.removexattr(inode.id, b"user.a", ask()),
                lambda: service.set_policy(directory.id, Policy(), ask()),
                lambda: service.change_layout(inode.id, 2, Update.QUORUM, (), ask()),
            ):
                with pytest.raises(Refused) as raised:
                    await change()
                assert raised.value.data["errno"] in (errno.EROFS, errno.EACCES, errno.EXDEV)
        with acting(ADMIN), refused(errno.EROFS):
            await service.change_volume("home@s1", Policy(), 0, Ask())
        assert await tree(mrc, root) == before
        with acting(NODE1):
            assert (await service.getattr(file)).nlink == 1


async def test_sizes_of_files_that_are_written_to_are_asked_of_the_osds(mrc: Mrc, session: Session) -> None:
    with acting(NODE1):
        made = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
    capability = mrc.capability(made)
    (node,) = capability.layout.replicas[0].osds
    mrc.around.osds[node].states[capability.file_id] = ShareState(capability.file_id, 12345, made.inode.epoch, -1, 0)
    shown = await snapshot(mrc)
    with acting(NODE1):
        (row,) = await mrc.service.readdir(shown.root, 0, 10, mrc.ask(session).claim)
        assert row.inode.size == 12345
        assert (await mrc.service.getattr(made.inode.id)).size == 12345


async def test_every_osd_has_heard_before_names_are_copied(mrc: Mrc, session: Session) -> None:
    await snapshot(mrc)
    await snapshot(mrc, "s2")
    for osd in mrc.around.osds.values():
        assert osd.snapshots == [(session.volume.id, 1, [1]), (session.volume.id, 2, [1, 2])]


async def test_an_osd_that_does_not_answer_and_holds_something_prevents_a_snapshot(mrc: Mrc, session: Session) -> None:
    await write(mrc, session, session.root.id, b"f", 1)
    with acting(NODE1):
        opened = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        (node,) = mrc.capability(opened).layout.replicas[0].osds
    other = next(name for name in mrc.around.osds if name != node)
    mrc.around.osds[node].up = False
    with pytest.raises(Refused, match=f"OSD {node} does not answer"):
        await snapshot(mrc)
    with acting(ADMIN):
        assert await mrc.service.snapshots("home") == []
    mrc.around.osds[node].up = True
    mrc.around.osds[other].up = False
    made = await snapshot(mrc)
    with acting(NODE1):
        (fresh,) = await mrc.service.renew(session.id, [opened.handle])
    assert fresh is not None
    assert mrc.capability(fresh).snapshot == made.number
    told = [one[1:] for one in mrc.around.osds[node].snapshots]
    assert (made.number, [made.number]) in told


async def test_an_osd_is_told_that_a_snapshot_was_not_made_after_all(mrc: Mrc, session: Session) -> None:
    await write(mrc, session, session.root.id, b"f", 1)
    for osd in list(mrc.around.osds.values()):
        osd.number = 100  # as if this were an older database, restored
    with refused(errno.EAGAIN):
        await snapshot(mrc)
    await until(lambda: all(osd.snapshots and osd.snapshots[-1][1] > 100 for osd in mrc.around.osds.values()))
    assert {tuple(osd.snapshots[-1][2]) for osd in mrc.around.osds.values()} == {()}
    made = await snapshot(mrc)
    assert made.number > 100


async def test_a_snapshot_that_was_begun_by_an_mrc_that_was_killed_stops_no_writer(
    grid: Grid, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = Around("node1", "node2", "node3")
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        await mrc.volume()
        session = await mrc.session()
        with acting(NODE1):
            opened = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))

        def killed(*_: object) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as dying:
            dying.setattr(snapshots, "written", killed)
            dying.setattr(snapshots, "tell_anew", killed)
            with pytest.raises(asyncio.CancelledError):
                await snapshot(mrc)
    async with serving(grid, tmp_path, around=around, database=database) as mrc:
        with acting(NODE1):
            (fresh,) = await mrc.service.renew(session.id, [opened.handle])
        assert fresh is not None
        fenced = max(one[1] for osd in around.osds.values() for one in osd.snapshots)
        assert mrc.capability(fresh).snapshot >= fenced
        await until(
            lambda: all(osd.snapshots[-1][1] >= fenced and not osd.snapshots[-1][2] for osd in around.osds.values())
        )


async def test_a_removed_snapshot_is_gone_and_osds_hear_which_are_left(mrc: Mrc, session: Session) -> None:
    await write(mrc, session, session.root.id, b"f", 10)
    await snapshot(mrc)
    await snapshot(mrc, "s2")
    with acting(ADMIN):
        assert [(one.name, one.number) for one in await mrc.service.snapshots("home")] == [
            ("home@s1", 1),
            ("home@s2", 2),
        ]
        await mrc.service.remove_volume("home@s1", False, Ask())
        assert [one.name for one in await mrc.service.snapshots("home")] == ["home@s2"]
        with refused(errno.ENOENT):
            await mrc.service.resolve("home@s1", "/")
    await until(lambda: all(osd.snapshots[-1][1:] == (3, [2]) for osd in mrc.around.osds.values()))
    assert not any(osd.deleted for osd in mrc.around.osds.values())
    again = await snapshot(mrc, "s1")
    assert again.number == 4


async def test_a_volume_with_snapshots_goes_only_by_force_and_takes_them_along(mrc: Mrc, session: Session) -> None:
    assert session.volume.name == "home"
    await snapshot(mrc)
    with acting(ADMIN):
        with refused(errno.ENOTEMPTY):
            await mrc.service.remove_volume("home", False, Ask())
        assert [one.name for one in await mrc.service.snapshots("home")] == ["home@s1"]
        await mrc.service.remove_volume("home", True, Ask())
        assert await mrc.service.volumes() == []
        with refused(errno.ENOENT):
            await mrc.service.snapshots("home")
    assert (await mrc.volume()).files == 1


async def test_a_snapshot_of_a_directory_has_what_is_below(mrc: Mrc, session: Session) -> None:
    root = session.root.id
    with acting(NODE1):
        below = await mrc.service.create(root, b"d", DIRECTORY, 0, None, mrc.ask(session))
        deeper = await mrc.service.create(below.id, b"e", DIRECTORY, 0, None, mrc.ask(session))
    file = await write(mrc, session, deeper.id, b"f", 3)
    await write(mrc, session, root, b"outside", 1000)
    with acting(NODE1):
        await mrc.service.link(file, root, b"hard", mrc.ask(session))
    made = await snapshot(mrc, path="/d")
    assert (made.files, made.used, made.path) == (3, 3, "/d")
    with acting(NODE1):
        claim = mrc.ask(session).claim
        copy = await mrc.service.resolve("home@s1", "/e/f", claim)
        assert (copy.origin, copy.nlink) == (file, 1)
        assert (await mrc.service.resolve("home@s1", "/e/..", claim)).id == made.root


async def test_only_the_owner_and_administrators_make_and_remove_snapshots(mrc: Mrc, session: Session) -> None:
    assert session.volume.owner == "admin@demo"
    with acting(BOB), refused(errno.EACCES):
        await mrc.service.make_snapshot("home", "s1", "/", Ask())
    await snapshot(mrc)
    with acting(ALICE), refused(errno.EACCES):
        await mrc.service.remove_volume("home@s1", True, Ask())


@pytest.mark.parametrize(
    ("volume", "name", "path", "number"),
    [
        ("home", "", "/", errno.EINVAL),
        ("home", "a@b", "/", errno.EINVAL),
        ("home", "a/b", "/", errno.EINVAL),
        ("home", "x" * 65, "/", errno.EINVAL),
        ("home", "ok", "/none", errno.ENOENT),
        ("home", "ok", "/f", errno.ENOTDIR),
        ("home", "there", "/", errno.EEXIST),
        ("home@there", "ok", "/", errno.EINVAL),
        ("none", "ok", "/", errno.ENOENT),
    ],
)
async def test_what_cannot_be_a_snapshot_is_refused(
    mrc: Mrc, session: Session, volume: str, name: str, path: str, number: int
) -> None:
    await write(mrc, session, session.root.id, b"f", 1)
    await snapshot(mrc, "there")
    with refused(number):
        await snapshot(mrc, name, path, volume)


async def test_a_snapshot_counts_as_a_whole_against_the_volumes_quota(mrc: Mrc) -> None:
    await mrc.volume("small", quota=100)
    session = await mrc.session("small")
    await write(mrc, session, session.root.id, b"f", 40)
    await snapshot(mrc, volume="small")
    with acting(NODE1):
        opened = await mrc.service.open_name(session.root.id, b"f", WRITE, mrc.ask(session))
        assert mrc.capability(opened).room == 20
    with refused(errno.EDQUOT):
        await snapshot(mrc, "s2", volume="small")
    with acting(ADMIN):
        await mrc.service.remove_volume("small@s1", True, Ask())
    with acting(NODE1):
        (fresh,) = await mrc.service.renew(session.id, [opened.handle])
        assert fresh is not None
        assert mrc.capability(fresh).room == 60


async def test_replicas_of_a_snapshot_are_those_of_the_moment_and_compared_later(mrc: Mrc) -> None:
    await mrc.volume("safe", policy=Policy(update=Update.QUORUM, replicas=3))
    session = await mrc.session("safe")
    await write(mrc, session, session.root.id, b"f", 1)
    await snapshot(mrc, volume="safe")
    with acting(NODE1):
        claim = mrc.ask(session).claim
        inode = await mrc.service.resolve("safe@s1", "/f", claim)

        async def layout() -> list[bool]:
            found = await mrc.service.layout(inode.id, claim)
            assert found.update is Update.READ_ONLY
            return [replica.complete for replica in found.replicas]

        async with asyncio.timeout(10):
            while not all(await layout()):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.05)


async def test_a_removed_osd_is_not_waited_for(mrc: Mrc, session: Session) -> None:
    assert session.root.id
    mrc.around.records["node2"] = msgspec.structs.replace(mrc.around.records["node2"], status=Status.REMOVED)
    mrc.around.osds["node2"].up = False
    assert (await snapshot(mrc)).number == 1


async def test_quotas_of_a_snapshot_are_none(mrc: Mrc, session: Session) -> None:
    assert session.root.id
    await snapshot(mrc)
    with acting(ADMIN), refused(errno.EROFS):
        await mrc.service.set_quota("home@s1", Quota("user", "alice@demo", 1), Ask())
