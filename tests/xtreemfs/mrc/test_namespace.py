# SPDX-License-Identifier: BSD-3-Clause
"""The rules of the name space, on SQLite and PostgreSQL."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from xos.common.engines import Place
from xos.common.migrations import differences, prepare
from xos.xtreemfs.mrc import namespace, renaming, volumes, xattrs
from xos.xtreemfs.mrc.renaming import EXCHANGE, NOREPLACE
from xos.xtreemfs.mrc.renaming import Place as At
from xos.xtreemfs.mrc.schema import METADATA, MIGRATIONS
from xos.xtreemfs.mrc.values import LINK_MAX, NAME_MAX, NOW, Change, Inode, Refusal, Who
from xos.xtreemfs.mrc.volumes import Volume

ALICE = Who("alice@demo", frozenset({"users@demo", "staff@demo"}), "users@demo")
BOB = Who("bob@demo", frozenset({"users@demo"}), "users@demo")
EVE = Who("eve@other", frozenset({"users@other"}), "users@other")
ROOT = Who("root@here", superuser=True)
DIR, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK
T = 1_000


class Space:
    """A volume that everybody may write to, and short names for what is asked of it."""

    def __init__(self, db: sa.Connection) -> None:
        self.db = db
        made = volumes.make_volume(db, ROOT, "home", 0o1777, T)
        assert isinstance(made, Volume)
        self.volume, self.root = made, made.root

    def new(self, name: bytes, mode: int = FILE | 0o644, *, parent: int = 0, who: Who = ALICE, **more: object) -> Inode:
        made = namespace.create(self.db, who, parent or self.root, name, mode, T, **more)  # type: ignore[arg-type]
        assert isinstance(made, Inode), made
        return made

    def move(self, old: At, new: At, *, who: Who = ALICE, flags: int = 0) -> object:
        return renaming.rename(self.db, who, old, new, flags, T + 5)

    def at(self, name: bytes, parent: int = 0) -> Inode:
        found = namespace.lookup(self.db, ROOT, parent or self.root, name)
        assert isinstance(found, Inode), found
        return found

    def node(self, number: int) -> Inode:
        found = namespace.getattr_(self.db, number)
        assert isinstance(found, Inode)
        return found


@pytest.fixture
def db(database: str) -> Iterator[sa.Connection]:
    place = Place.of(database)
    prepare(place, METADATA, MIGRATIONS)
    engine = place.engine()
    with engine.connect() as connection:
        assert differences(connection, METADATA, MIGRATIONS) == []
        yield connection
    engine.dispose()


@pytest.fixture
def space(db: sa.Connection) -> Space:
    return Space(db)


def test_a_name_leads_to_what_was_made_under_it(space: Space) -> None:
    file = space.new(b"f")
    assert space.at(b"f") == file
    assert (file.owner, file.group, file.nlink, file.size, file.ctime) == ("alice@demo", "users@demo", 1, 0, T)
    assert namespace.lookup(space.db, ALICE, space.root, b"g") == Refusal(errno.ENOENT)
    assert namespace.lookup(space.db, ALICE, file.id, b"g") == Refusal(errno.ENOTDIR)
    assert namespace.lookup(space.db, ALICE, 99999, b"g") == Refusal(errno.ESTALE)


def test_a_directory_counts_the_directories_in_it(space: Space) -> None:
    one = space.new(b"d", DIR | 0o755)
    two = space.new(b"e", DIR | 0o755, parent=one.id)
    assert (one.nlink, space.node(one.id).nlink, space.node(space.root).nlink) == (2, 3, 3)
    assert (two.parent, one.parent) == (one.id, space.root)
    assert namespace.rmdir(space.db, ALICE, space.root, b"d", T) == Refusal(errno.ENOTEMPTY)
    assert namespace.rmdir(space.db, ALICE, one.id, b"e", T) is None
    assert space.node(one.id).nlink == 2
    assert space.node(two.id).nlink == 0
    assert namespace.create(space.db, ALICE, two.id, b"x", FILE, T) == Refusal(errno.ENOENT)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"", errno.EINVAL),
        (b".", errno.EINVAL),
        (b"..", errno.EINVAL),
        (b"a/b", errno.EINVAL),
        (b"a\0", errno.EINVAL),
        (b"x" * (NAME_MAX + 1), errno.ENAMETOOLONG),
    ],
)
def test_names_that_cannot_be_are_refused_everywhere(space: Space, name: bytes, number: int) -> None:
    space.new(b"f")
    refusal = Refusal(number)
    assert namespace.create(space.db, ALICE, space.root, name, FILE, T) == refusal
    assert namespace.link(space.db, ALICE, space.at(b"f").id, space.root, name, T) == refusal
    assert namespace.unlink(space.db, ALICE, space.root, name, T) == refusal
    assert space.move(At(space.root, b"f"), At(space.root, name)) == refusal
    assert space.move(At(space.root, name), At(space.root, b"f")) == refusal


def test_names_are_bytes_of_any_kind(space: Space) -> None:
    for name in (b"\xff\xfe", b"x" * NAME_MAX, b" ", "größe".encode(), b"-rf", b"\n"):
        assert space.new(name) == space.at(name)


def test_hard_links_share_an_inode_until_the_last_name_goes(space: Space) -> None:
    file = space.new(b"f")
    linked = namespace.link(space.db, ALICE, file.id, space.root, b"g", T + 1)
    assert isinstance(linked, Inode)
    assert (linked.id, linked.nlink, linked.ctime) == (file.id, 2, T + 1)
    left = namespace.unlink(space.db, ALICE, space.root, b"f", T + 2)
    assert isinstance(left, Inode)
    assert left.nlink == 1
    assert namespace.nameless(space.db) == []
    gone = namespace.unlink(space.db, ALICE, space.root, b"g", T + 3)
    assert isinstance(gone, Inode)
    assert gone.nlink == 0
    assert space.node(file.id).nlink == 0  # somebody may have it open
    assert namespace.nameless(space.db) == [file.id]
    assert namespace.reap(space.db, [file.id, space.root]) == [file.id]
    assert namespace.getattr_(space.db, file.id) == Refusal(errno.ESTALE)


def test_numbers_are_never_given_twice(space: Space) -> None:
    file = space.new(b"f")
    namespace.unlink(space.db, ALICE, space.root, b"f", T)
    namespace.reap(space.db, [file.id])
    assert space.new(b"f").id > file.id


def test_what_cannot_be_linked_or_unlinked_says_so(space: Space) -> None:
    directory, file = space.new(b"d", DIR | 0o755), space.new(b"f")
    assert namespace.link(space.db, ALICE, directory.id, space.root, b"e", T) == Refusal(errno.EPERM)
    assert namespace.link(space.db, ALICE, file.id, space.root, b"d", T) == Refusal(errno.EEXIST)
    assert namespace.unlink(space.db, ALICE, space.root, b"d", T) == Refusal(errno.EISDIR)
    assert namespace.rmdir(space.db, ALICE, space.root, b"f", T) == Refusal(errno.ENOTDIR)
    space.db.execute(sa.text("update inodes set nlink = :n where id = :i"), {"n": LINK_MAX, "i": file.id})
    assert namespace.link(space.db, ALICE, file.id, space.root, b"g", T) == Refusal(errno.EMLINK)


def test_only_a_superuser_makes_devices(space: Space) -> None:
    device = stat.S_IFBLK | 0o600
    assert namespace.create(space.db, ALICE, space.root, b"sda", device, T, rdev=5) == Refusal(errno.EPERM)
    assert space.new(b"sda", device, who=ROOT, rdev=5).rdev == 5
    assert stat.S_ISFIFO(space.new(b"fifo", stat.S_IFIFO | 0o600).mode)
    assert namespace.create(space.db, ROOT, space.root, b"x", 0o644, T) == Refusal(errno.EINVAL)


def test_a_symbolic_link_keeps_its_target(space: Space) -> None:
    made = space.new(b"l", LINK | 0o777, target=b"../somewhere")
    assert (made.target, made.size) == (b"../somewhere", 12)
    assert namespace.create(space.db, ALICE, space.root, b"m", LINK, T, target=b"x" * 5000) == Refusal(
        errno.ENAMETOOLONG
    )
    assert namespace.create(space.db, ALICE, space.root, b"m", LINK, T, target=b"") == Refusal(errno.ENOENT)


def test_a_directory_can_be_read_in_pieces_while_it_changes(space: Space) -> None:
    names = [b"f%03d" % number for number in range(50)]
    for name in names:
        space.new(name)
    seen, after = [], 0
    while page := namespace.readdir(space.db, ALICE, space.root, after, 7):
        assert not isinstance(page, Refusal)
        seen += [row.name for row in page]
        after = page[-1].cookie
        if len(seen) == 14:
            namespace.unlink(space.db, ALICE, space.root, b"f013", T)
            namespace.unlink(space.db, ALICE, space.root, b"f030", T)
            space.new(b"new")
    assert seen == [name for name in names if name != b"f030"] + [b"new"]


def test_looking_ahead_begins_with_the_name_and_goes_on_in_the_order_of_the_directory(space: Space) -> None:
    made = {name: space.new(name) for name in (b"c", b"a", b"b", b"d")}
    space.new(b"elsewhere", parent=space.new(b"dir", DIR | 0o755).id)
    found = namespace.look_ahead(space.db, ALICE, space.root, b"a", 3)
    assert not isinstance(found, Refusal)
    assert [(row.name, row.inode) for row in found] == [(name, made[name]) for name in (b"a", b"b", b"d")]
    whole = namespace.readdir(space.db, ALICE, space.root, 0, 100)
    assert namespace.look_ahead(space.db, ALICE, space.root, b"c", 100) == whole
    assert namespace.look_ahead(space.db, ALICE, space.root, b"elsewhere", 3) == Refusal(errno.ENOENT)
    assert namespace.look_ahead(space.db, ALICE, space.root, b"x" * 256, 3) == Refusal(errno.ENAMETOOLONG)
    assert namespace.look_ahead(space.db, ALICE, made[b"a"].id, b"a", 3) == Refusal(errno.ENOTDIR)


# --- permissions


@pytest.mark.parametrize("mode", [0o711, 0o744, 0o700])
def test_who_may_not_list_or_not_search_cannot_look_ahead(space: Space, mode: int) -> None:
    directory = space.new(b"p", DIR | mode).id
    made = space.new(b"x", parent=directory)
    assert namespace.look_ahead(space.db, EVE, directory, b"x", 3) == Refusal(errno.EACCES)
    assert namespace.look_ahead(space.db, EVE, directory, b"y", 3) == Refusal(errno.EACCES)
    found = namespace.look_ahead(space.db, ALICE, directory, b"x", 3)
    assert not isinstance(found, Refusal)
    assert [row.inode for row in found] == [made]


def test_mode_bits_are_the_owners_the_groups_or_the_others(space: Space) -> None:
    private = space.new(b"p", DIR | 0o700)
    shared = space.new(b"s", DIR | 0o750)
    for who, directory, allowed in (
        (ALICE, private, True),
        (BOB, private, False),
        (BOB, shared, True),
        (EVE, shared, False),
        (ROOT, private, True),
    ):
        answer = namespace.readdir(space.db, who, directory.id, 0, 1)
        assert (answer == []) is allowed
        assert (answer == Refusal(errno.EACCES)) is not allowed
    assert namespace.create(space.db, BOB, shared.id, b"x", FILE, T) == Refusal(errno.EACCES)
    assert namespace.lookup(space.db, EVE, shared.id, b"x") == Refusal(errno.EACCES)


def test_what_is_there_already_is_told_before_what_is_forbidden(space: Space) -> None:
    space.new(b"x", parent=space.new(b"d", DIR | 0o755).id)
    assert namespace.create(space.db, BOB, space.at(b"d").id, b"x", FILE, T) == Refusal(errno.EEXIST)


def test_in_a_sticky_directory_only_owners_remove(space: Space) -> None:
    space.new(b"f", FILE | 0o666)
    assert namespace.unlink(space.db, BOB, space.root, b"f", T) == Refusal(errno.EPERM)
    space.new(b"g", who=BOB)
    assert space.move(At(space.root, b"g"), At(space.root, b"f"), who=BOB) == Refusal(errno.EPERM)
    assert space.move(At(space.root, b"f"), At(space.root, b"h"), who=BOB) == Refusal(errno.EPERM)
    assert isinstance(namespace.unlink(space.db, ALICE, space.root, b"f", T), Inode)


def test_where_homes_are_a_name_is_its_users(space: Space) -> None:
    namespace.setattr_(space.db, ROOT, space.root, Change(mode=0o5777), T)
    for name in (b"bob.demo", b".bob.demo.x", b"alice", b"alice.demo2", b".alice.demo", b"x", b"ALICE.demo"):
        assert namespace.create(space.db, ALICE, space.root, name, DIR | 0o700, T) == Refusal(errno.EACCES)
    draft = space.new(b".alice.demo.x", DIR | 0o700)
    assert space.move(At(space.root, b".alice.demo.x"), At(space.root, b"bob.demo")) == Refusal(errno.EACCES)
    file = space.new(b"f", parent=draft.id, who=ALICE)
    assert namespace.link(space.db, ALICE, file.id, space.root, b"bob.demo", T) == Refusal(errno.EACCES)
    assert not isinstance(space.move(At(space.root, b".alice.demo.x"), At(space.root, b"alice.demo")), Refusal)
    assert namespace.rmdir(space.db, BOB, space.root, b"alice.demo", T) == Refusal(errno.EPERM)
    space.new(b"bob.demo", DIR | 0o700, who=BOB)
    swapped = space.move(At(space.root, b"bob.demo"), At(space.root, b"alice.demo"), who=BOB, flags=EXCHANGE)
    assert swapped == Refusal(errno.EACCES)
    space.new(b"lost+found", DIR | 0o755, who=ROOT)
    below = space.new(b"d", DIR | 0o4777, parent=space.at(b"alice.demo").id)
    space.new(b"anything", parent=below.id)  # it means that in a volume's root only


def test_a_setgid_directory_hands_its_group_down(space: Space) -> None:
    top = space.new(b"d", DIR | 0o2777, who=ALICE)
    namespace.setattr_(space.db, ROOT, top.id, Change(group="staff@demo", mode=0o2777), T)
    assert space.new(b"f", parent=top.id, who=BOB).group == "staff@demo"
    below = space.new(b"e", DIR | 0o755, parent=top.id, who=BOB)
    assert (below.group, bool(below.mode & stat.S_ISGID)) == ("staff@demo", True)
    foreign = space.new(b"g", FILE | 0o2755, parent=top.id, who=BOB)
    assert not foreign.mode & stat.S_ISGID  # not his group


def change(space: Space, who: Who, inode: Inode, **values: object) -> object:
    return namespace.setattr_(space.db, who, inode.id, Change(**values), T + 9)  # type: ignore[arg-type]


def test_who_may_change_what(space: Space) -> None:
    file = space.new(b"f", FILE | 0o660)
    for who, values, number in (
        (BOB, {"mode": 0o777}, errno.EPERM),
        (BOB, {"owner": "bob@demo"}, errno.EPERM),
        (ALICE, {"owner": "bob@demo"}, errno.EPERM),
        (ALICE, {"group": "users@other"}, errno.EPERM),
        (BOB, {"group": "users@demo"}, errno.EPERM),
        (EVE, {"size": 0}, errno.EACCES),
        (EVE, {"mtime": NOW}, errno.EACCES),
        (BOB, {"mtime": 5}, errno.EPERM),
        (ALICE, {"size": -1}, errno.EINVAL),
    ):
        assert change(space, who, file, **values) == Refusal(number), (who.user, values)
    for who, values in (
        (ALICE, {"mode": 0o640}),
        (ALICE, {"group": "staff@demo"}),
        (ALICE, {"owner": "alice@demo"}),
        (ALICE, {"mtime": 5, "atime": 6}),
        (ROOT, {"owner": "bob@demo", "group": "users@other"}),
        (BOB, {"mtime": NOW}),
    ):
        assert isinstance(change(space, who, file, **values), Inode), (who.user, values)
    assert (space.node(file.id).mtime, space.node(file.id).atime) == (T + 9, 6)
    directory = space.new(b"d", DIR | 0o777)
    assert change(space, ALICE, directory, size=0) == Refusal(errno.EISDIR)
    assert change(space, ALICE, space.new(b"p", stat.S_IFIFO | 0o666), size=0) == Refusal(errno.EINVAL)


def test_set_id_bits_do_not_survive_a_change_of_owner_or_content(space: Space) -> None:
    def mode(**values: object) -> int:
        file = space.new(os.urandom(4).hex().encode(), FILE | 0o6755)
        who = ROOT if "owner" in values else ALICE
        change(space, who, file, **values)
        return stat.S_IMODE(space.node(file.id).mode)

    assert mode(owner="bob@demo") == 0o755
    assert mode(group="staff@demo") == 0o755
    assert mode(size=0) == 0o755
    assert mode(mtime=1) == 0o6755
    foreign = space.new(b"x", FILE | 0o755)
    change(space, ROOT, foreign, group="users@other")
    change(space, ALICE, foreign, mode=0o2755)
    assert not space.node(foreign.id).mode & stat.S_ISGID


# --- rename


def test_a_rename_moves_and_replaces(space: Space) -> None:
    d, e = space.new(b"d", DIR | 0o755), space.new(b"e", DIR | 0o755)
    f, g = space.new(b"f", parent=d.id), space.new(b"g", parent=e.id)
    gone = space.move(At(d.id, b"f"), At(e.id, b"g"))
    assert isinstance(gone, Inode)
    assert (gone.id, gone.nlink) == (g.id, 0)
    assert space.at(b"g", e.id).id == f.id
    assert namespace.lookup(space.db, ALICE, d.id, b"f") == Refusal(errno.ENOENT)
    assert space.move(At(e.id, b"g"), At(e.id, b"h")) is None
    assert (space.node(d.id).mtime, space.node(f.id).ctime) == (T + 5, T + 5)


def test_a_directory_that_moves_takes_its_link_along(space: Space) -> None:
    d, e = space.new(b"d", DIR | 0o755), space.new(b"e", DIR | 0o755)
    sub = space.new(b"s", DIR | 0o755, parent=d.id)
    space.new(b"t", DIR | 0o755, parent=e.id)
    assert isinstance(space.move(At(d.id, b"s"), At(e.id, b"t")), Inode)
    assert (space.node(d.id).nlink, space.node(e.id).nlink, space.node(sub.id).parent) == (2, 3, e.id)


def test_renames_that_cannot_be_are_refused(space: Space) -> None:
    d = space.new(b"d", DIR | 0o755)
    sub = space.new(b"s", DIR | 0o755, parent=d.id)
    space.new(b"full", DIR | 0o755)
    space.new(b"x", parent=space.at(b"full").id)
    space.new(b"f")
    root = space.root
    for old, new, flags, number in (
        (At(root, b"d"), At(sub.id, b"x"), 0, errno.EINVAL),
        (At(root, b"d"), At(d.id, b"x"), 0, errno.EINVAL),
        (At(d.id, b"s"), At(root, b"d"), EXCHANGE, errno.EINVAL),
        (At(root, b"d"), At(root, b"full"), 0, errno.ENOTEMPTY),
        (At(root, b"d"), At(root, b"f"), 0, errno.ENOTDIR),
        (At(root, b"f"), At(root, b"d"), 0, errno.EISDIR),
        (At(root, b"none"), At(root, b"f"), 0, errno.ENOENT),
        (At(root, b"f"), At(root, b"d"), NOREPLACE, errno.EEXIST),
        (At(root, b"f"), At(root, b"none"), EXCHANGE, errno.ENOENT),
        (At(root, b"f"), At(root, b"g"), 8, errno.EINVAL),
        (At(root, b"f"), At(root, b"g"), NOREPLACE | EXCHANGE, errno.EINVAL),
    ):
        assert space.move(old, new, flags=flags) == Refusal(number), (old, new, flags)


def test_an_exchange_swaps_even_a_file_and_a_directory(space: Space) -> None:
    d, e = space.new(b"d", DIR | 0o755), space.new(b"e", DIR | 0o755)
    sub, file = space.new(b"s", DIR | 0o755, parent=d.id), space.new(b"f", parent=e.id)
    assert space.move(At(d.id, b"s"), At(e.id, b"f"), flags=EXCHANGE) is None
    assert (space.at(b"s", d.id).id, space.at(b"f", e.id).id) == (file.id, sub.id)
    assert (space.node(d.id).nlink, space.node(e.id).nlink, space.node(sub.id).parent) == (2, 3, e.id)


def test_two_names_of_one_file_are_renamed_to_each_other_in_vain(space: Space) -> None:
    file = space.new(b"f")
    namespace.link(space.db, ALICE, file.id, space.root, b"g", T)
    assert space.move(At(space.root, b"f"), At(space.root, b"g")) is None
    assert space.at(b"f").nlink == 2


def test_moving_a_directory_elsewhere_changes_it_and_so_needs_leave_to_write_in_it(space: Space) -> None:
    there = space.new(b"t", DIR | 0o777)
    space.new(b"d", DIR | 0o555)
    assert space.move(At(space.root, b"d"), At(there.id, b"d")) == Refusal(errno.EACCES)
    assert space.move(At(space.root, b"d"), At(space.root, b"e")) is None


def test_a_directory_that_is_replaced_need_not_be_writable(space: Space) -> None:
    there = space.new(b"t", DIR | 0o777)
    moved = space.new(b"d", DIR | 0o755)
    replaced = space.new(b"d", DIR | 0o555, parent=there.id)
    lost = space.move(At(space.root, b"d"), At(there.id, b"d"))
    assert isinstance(lost, Inode)
    assert lost.id == replaced.id
    assert space.at(b"d", there.id).id == moved.id


# --- volumes and extended attributes


def test_volumes_are_trees_apart(space: Space) -> None:
    other = volumes.make_volume(space.db, ALICE, "scratch", 0o755, T)
    assert isinstance(other, Volume)
    assert [volume.name for volume in volumes.list_volumes(space.db)] == ["home", "scratch"]
    assert volumes.make_volume(space.db, ALICE, "home", 0o755, T) == Refusal(errno.EEXIST)
    file = space.new(b"f")
    assert namespace.link(space.db, ALICE, file.id, other.root, b"f", T) == Refusal(errno.EXDEV)
    assert space.move(At(space.root, b"f"), At(other.root, b"f")) == Refusal(errno.EXDEV)
    space.new(b"g", parent=other.root)
    assert volumes.remove_volume(space.db, "scratch") == Refusal(errno.ENOTEMPTY)
    namespace.unlink(space.db, ALICE, other.root, b"g", T)
    assert volumes.remove_volume(space.db, "scratch") is None
    assert volumes.remove_volume(space.db, "scratch") == Refusal(errno.ENOENT)
    assert volumes.find_volume(space.db, "scratch") is None


def test_extended_attributes_follow_the_permissions_of_the_file(space: Space) -> None:
    file = space.new(b"f", FILE | 0o640)
    put, get = xattrs.put, xattrs.get
    assert put(space.db, ALICE, file.id, b"user.a", b"\0\xff", 0, T) is None
    assert get(space.db, BOB, file.id, b"user.a") == b"\0\xff"
    assert get(space.db, EVE, file.id, b"user.a") == Refusal(errno.EACCES)
    assert put(space.db, BOB, file.id, b"user.a", b"", 0, T) == Refusal(errno.EACCES)
    assert put(space.db, ALICE, file.id, b"user.a", b"", os.XATTR_CREATE, T) == Refusal(errno.EEXIST)
    assert put(space.db, ALICE, file.id, b"user.b", b"", os.XATTR_REPLACE, T) == Refusal(errno.ENODATA)
    assert put(space.db, ALICE, file.id, b"trusted.t", b"", 0, T) == Refusal(errno.EPERM)
    assert put(space.db, ROOT, file.id, b"trusted.t", b"1", 0, T) is None
    assert xattrs.names(space.db, ALICE, file.id) == [b"user.a"]
    assert xattrs.names(space.db, ROOT, file.id) == [b"trusted.t", b"user.a"]
    assert xattrs.remove(space.db, ALICE, file.id, b"user.a", T) is None
    assert xattrs.remove(space.db, ALICE, file.id, b"user.a", T) == Refusal(errno.ENODATA)


def test_extended_attributes_have_their_bounds(space: Space) -> None:
    file, fifo = space.new(b"f"), space.new(b"p", stat.S_IFIFO | 0o666)

    def put(inode: Inode, name: bytes, value: bytes = b"") -> object:
        return xattrs.put(space.db, ALICE, inode.id, name, value, 0, T)

    assert put(file, b"user.a", bytes((64 << 10) + 1)) == Refusal(errno.E2BIG)
    assert put(file, b"user." + b"x" * 300) == Refusal(errno.ERANGE)
    for name in (b"user", b"user.", b"system.posix_acl_access", b"security.capability", b"user.a\0b"):
        assert put(file, name) == Refusal(errno.EOPNOTSUPP)
    assert put(fifo, b"user.a") == Refusal(errno.EPERM)
    refused = [number for number in range(200) if put(file, b"user.%0200d" % number) is not None]
    assert 0 < len(refused) < 60
    assert put(file, b"user.%0200d" % 0, b"again") is None
