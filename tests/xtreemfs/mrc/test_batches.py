# SPDX-License-Identifier: BSD-3-Clause
"""A batch of changes leaves what the same changes leave that are made one by one."""

from __future__ import annotations

import errno
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.common.engines import Place
from xos.common.migrations import prepare
from xos.xtreemfs.api import Access, Applied, Capability, Claim, Extent, Gone, Layout, Made, Replica
from xos.xtreemfs.mrc import batches, contents, namespace, rows, usage, volumes
from xos.xtreemfs.mrc.batches import Asked, Done, Shown
from xos.xtreemfs.mrc.schema import CHORES, HANDLES, METADATA, MIGRATIONS
from xos.xtreemfs.mrc.values import Change, Inode, Refusal, Who
from xos.xtreemfs.mrc.volumes import Volume
from xos.xtreemfs.striping import Striping

ALICE = Who("alice@demo", frozenset({"users@demo"}), "users@demo")
LAYOUT = Layout(Striping(), (Replica(("node1",)),))
NAMES = (b"a", b"b", b"c")
FIRST = 1000
Step = tuple[str, bytes, int]
"""What is done to a name, and how: a size, or whether it stays open."""
STEPS = st.lists(
    st.tuples(st.sampled_from(("make", "open", "remove", "link")), st.sampled_from(NAMES), st.integers(0, 9)),
    max_size=14,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    with tempfile.TemporaryDirectory() as place:
        where = Place.of(str(Path(place) / "mrc.sqlite"))
        prepare(where, METADATA, MIGRATIONS)
        made = where.engine()
        yield made
        made.dispose()


class Way:
    """A volume, and one way to change it."""

    def __init__(self, db: sa.Connection, name: str, first: int) -> None:
        made = volumes.make_volume(db, ALICE, name, 0o755, 1, uuid=name)
        assert isinstance(made, Volume)
        self.db, self.volume, self.first, self.next = db, made, first, first
        self.errors: list[int] = []

    def there(self, name: bytes) -> int:
        found = rows.child(self.db, self.volume.root, name)
        return 0 if found is None else found.id

    def link(self, name: bytes, time: int) -> None:
        if there := self.there(name):
            namespace.link(self.db, ALICE, there, self.volume.root, b"link%d" % time, time)

    def state(self) -> object:
        """All that can be seen of it, numbers counted from the first."""
        listed = namespace.readdir(self.db, ALICE, self.volume.root, 0, 1000)
        assert not isinstance(listed, Refusal)
        root = rows.inode(self.db, self.volume.root)
        assert root is not None
        nameless = [number - self.first for number in namespace.nameless(self.db) if number >= self.first]
        chores = self.db.scalars(sa.select(CHORES.c.file_id).where(CHORES.c.file_id.startswith(self.volume.uuid)))
        return (
            sorted((row.name, self._relative(row.inode)) for row in listed),
            (root.mtime, root.ctime, root.nlink),
            sorted(number for number in nameless if number < 500),
            sorted(int(file_id.rpartition("-")[2], 16) - self.first for file_id in chores),
            usage.used(self.db, self.volume.id),
        )

    def _relative(self, inode: Inode) -> tuple[object, ...]:
        return (inode.id - self.first, inode.mode, inode.nlink, inode.owner, inode.group, inode.size, inode.mtime)


class OneByOne(Way):
    """As single calls do."""

    def do(self, step: Step, time: int) -> None:
        kind, name, how = step
        if kind == "remove":
            left = namespace.unlink(self.db, ALICE, self.volume.root, name, time)
            if isinstance(left, Inode) and left.nlink == 0:
                contents.reap(self.db, left.id)
            self.errors.append(left.errno if isinstance(left, Refusal) else 0)
            return
        number, self.next = self.next, self.next + 1
        if self.there(name):
            self.errors.append(errno.EEXIST)
            return
        layout = contents._encode(LAYOUT)
        new = Inode(number, stat.S_IFREG | 0o644, 1, ALICE.user, ALICE.group, 0, time, time, time, 0)
        rows.add_made(self.db, [rows.Whole(new, self.volume.id, 0, None, layout)])
        usage.charge(self.db, self.volume.id, ALICE.user, ALICE.group, 0, 1)
        rows.enter(self.db, self.volume.root, name, number)
        rows.touch_directory(self.db, self.volume.root, time)
        contents.extend(self.db, self.volume.id, new, Extent(how, 0), time, time)
        if kind == "open":
            self.db.execute(HANDLES.insert().values(session="s", inode=number, access=int(Access.WRITE)))
        self.errors.append(0)


class InBatches(Way):
    """As a holder tells it."""

    def __init__(self, db: sa.Connection, name: str, first: int) -> None:
        super().__init__(db, name, first)
        file_id = f"{name}-{first:x}"
        self.reserve = Shown(Capability(file_id, Access.WRITE, "node1", 0, 0, LAYOUT, count=256), first)
        self.pending: list[Applied] = []
        self.known: dict[bytes, int] = {}

    def do(self, step: Step, time: int) -> None:
        kind, name, how = step
        if kind == "remove":
            number = self.known.pop(name, 0)
            self.pending.append(Applied(gone=Gone(self.volume.root, name, number, time, None)))
            return
        number, self.next = self.next, self.next + 1
        access = Access.WRITE if kind == "open" else Access(0)
        made = Made(self.volume.root, name, number, 0o644, time, None, 0, Extent(how, 0), time, access=access)
        self.known.setdefault(name, number)
        self.pending.append(Applied(made=made))

    def tell(self, time: int) -> None:
        changes, self.pending = self.pending, []
        whos: dict[Claim | None, Who] = {None: ALICE}
        asked = Asked("s", self.volume.id, changes, [self.reserve], whos, lambda *_: True, time)
        done = batches.apply(self.db, asked, [])
        assert isinstance(done, Done)
        self.errors += [outcome.errno for outcome in done.outcomes]


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sets(st.integers(0, 13)))
def test_in_batches_or_one_by_one_it_is_the_same(engine: sa.Engine, steps: list[Step], ends: set[int]) -> None:
    with engine.connect() as db, db.begin() as transaction:
        single, batched = OneByOne(db, "single", FIRST), InBatches(db, "batched", FIRST + 500)
        for time, step in enumerate(steps, 10):
            if step[0] == "link":
                batched.tell(time)
                for way in (single, batched):
                    way.link(step[1], time)
                continue
            single.do(step, time)
            batched.do(step, time)
            if time - 10 in ends:
                batched.tell(time)
        batched.tell(100)
        assert batched.errors == single.errors
        assert batched.state() == single.state()
        transaction.rollback()


def test_a_change_of_the_owner_or_mode_comes_with_what_was_made(engine: sa.Engine) -> None:
    root = Who("root@node1", superuser=True)
    with engine.connect() as db, db.begin() as transaction:
        way = InBatches(db, "changed", FIRST)
        change = Change(mode=0o4750, owner="bob@demo", group="staff@demo", atime=3, mtime=4)
        made = Made(way.volume.root, b"f", FIRST, 0o644, 20, None, 0, Extent(7, 0), 21, change, ctime=30)
        asked = Asked("s", way.volume.id, [Applied(made=made)], [way.reserve], {None: root}, lambda *_: True, 25)
        done = batches.apply(db, asked, [])
        assert isinstance(done, Done)
        found = rows.child(db, way.volume.root, b"f")
        assert found == done.outcomes[0].inode
        assert found is not None
        assert (found.mode, found.owner, found.group) == (stat.S_IFREG | 0o4750, "bob@demo", "staff@demo")
        assert (found.size, found.atime, found.mtime, found.ctime) == (7, 3, 4, 25)  # not later than it is now
        assert usage.used_by(db, way.volume.id, "user", "bob@demo") == 7
        transaction.rollback()
