# SPDX-License-Identifier: BSD-3-Clause
"""Where the bytes are: layouts, primaries, queries."""

from __future__ import annotations

import asyncio
import errno
from functools import partial

import msgspec
import sqlalchemy as sa

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.xtreemfs.api import Access, Ask, Changed, Claim, Found, Layout, Opened, Policy, Replica, Update, What
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import contents, finding, handles, namespace, placement, replication, rows, volumes
from xos.xtreemfs.mrc.access import READ, denied, may, owns
from xos.xtreemfs.mrc.calls.base import Calls
from xos.xtreemfs.mrc.contents import Grant
from xos.xtreemfs.mrc.reading import MOST_MACHINES, is_far
from xos.xtreemfs.mrc.replication import WRITTEN, Goal, Stuck
from xos.xtreemfs.mrc.values import Refusal, Result, Who

log = get_logger("xos.xtreemfs.mrc")

MOST_FOUND = 10_000
MOST_STEPS = 3 * placement.MOST_REPLICAS
SELF = Who("", superuser=True)
"""The MRC, about its own files."""
WAIT_TURNS, WAIT_SECONDS = 25, 0.2
PROBE_SECONDS = 1.0
"""How long an OSD has to say what it has, before it is passed over for a primary."""


class ReplicaCalls(Calls):
    """See `MRC`. `MrcService.start` sets these."""

    _bringing: set[int]
    """Files that are getting a replica near a reader."""

    async def layout(self, inode: int, claim: Claim | None = None) -> Layout:
        """See `MRC.layout`."""

        def look(db: sa.Connection, who: Who) -> Result[Layout]:  # noqa: ARG001 -- as with getattr
            whole = rows.whole(db, inode)
            return Refusal(errno.ESTALE) if whole is None else contents.layout_of(whole)

        return await self._read(f"inode {inode}", claim, look)

    async def find(
        self,
        volume: str,
        owner: str,
        name: str,
        least: int,
        most: int,
        xattr: bytes,
        value: bytes,
        limit: int,
        claim: Claim | None = None,
    ) -> list[Found]:
        """See `MRC.find`."""
        if not 1 <= limit <= MOST_FOUND:
            raise Refused.of(errno.EINVAL, f"limit {limit}")
        query = finding.Query(owner, name, least, most, xattr, value)

        def look(db: sa.Connection, who: Who, after: int, limit: int) -> Result[finding.Page]:
            found = volumes.find_volume(db, volume)
            if found is not None and not after and (leased := self.desk.leases.of_volume(found.id)):
                return Refusal(errno.EAGAIN, leased)
            return Refusal(errno.ENOENT) if found is None else finding.find(db, who, found, query, after, limit)

        page, found = finding.Page([], 0, more=True), list[Found]()
        while page.more and len(found) < limit:
            step = partial(look, after=page.last, limit=limit - len(found))
            page = await self._read(f"volume {volume[:64]}", claim, step)
            found += page.found
        return found

    # --- another primary

    async def fail_over(self, handle: int, term: int, dead: str, ask: Ask) -> Opened:
        """See `MRC.fail_over`."""
        what = f"handle {handle}"
        session = self.desk.session(ask.session, what).kept.id
        grant = await self.desk.read(what, lambda db: handles.renewed(db, session, handle))
        if grant.layout.term != term:
            return self.desk.opened(grant)  # somebody else was quicker
        everywhere = [osd for replica in grant.layout.replicas for osd in replica.osds]
        states = await self.osds.states(everywhere, grant.file_id, PROBE_SECONDS)
        lives = states.pop(dead, None) is not None  # its client cannot reach it, or was told that it is not primary
        layout = replication.without_dead(grant.layout, dead, states)
        if layout is None:
            raise Refused.of(errno.EAGAIN, f"{what}: too few replicas answer")
        if layout == grant.layout:
            return self.desk.opened(grant)

        def take_over(db: sa.Connection) -> Result[Grant]:
            self._take_over(db, grant, layout)
            return handles.renewed(db, session, handle)

        taken = await self.desk.write(what, take_over)
        log.info("failed-over", file=grant.file_id, dead=dead, term=taken.layout.term)
        if taken.layout.wish is not None:  # one was left out
            self.management.look(taken.inode.id)
        self.desk.tell(ask, Changed(What.LAYOUT, taken.inode.id))
        if not lives:
            self.host.spawn(self.osds.suspect(dead), name="mrc-suspect")
        return self.desk.opened(taken)

    # --- other replicas

    async def change_layout(
        self, inode: int, replicas: int, update: Update, without: tuple[str, ...], ask: Ask
    ) -> Layout:
        """See `MRC.change_layout`."""
        what, who = f"inode {inode}", self.desk.who(ask.claim, f"inode {inode}")
        if not 1 <= replicas <= placement.MOST_REPLICAS or (replicas > 1 and update is Update.NONE):
            raise Refused.of(errno.EINVAL, what)
        if (await self.desk.read(what, lambda db: namespace.getattr_(db, inode))).origin:
            raise Refused.of(errno.EROFS, what)
        async with self.changing.alone(inode):
            layout = await self._reach(inode, Goal(replicas, update, frozenset(without)), who)
            if layout.least:  # as many as were wished now, whoever reads them
                grant = await self.desk.read(what, lambda db: _grant(db, who, inode))
                wished = msgspec.structs.replace(grant.layout, least=0)
                layout = await self.desk.write(what, lambda db: self._take_over(db, grant, wished))
        if replication.due(layout, frozenset()) is not None:
            self.management.look(inode)
        return layout

    async def read_soon(self, inode: int, nodes: list[str], ask: Ask) -> None:
        """See `MRC.read_soon`."""
        what, who = f"inode {inode}", self.desk.who(ask.claim, f"inode {inode}")
        if len(nodes) > MOST_MACHINES:
            raise Refused.of(errno.E2BIG, what)

        def look(db: sa.Connection) -> Result[Layout]:
            whole = rows.whole(db, inode)
            if whole is None:
                return Refusal(errno.ESTALE)
            return contents.layout_of(whole) if may(whole.inode, who, READ) else denied(whole.inode, READ)

        layout = await self.desk.read(what, look)
        for node in nodes:
            self.reads.soon(inode, node)
            self._bring(inode, node, layout)

    def unused(self, inode: int, layout: Layout) -> Goal | None:
        """What a file is to be without the replicas that nobody reads."""
        return self.reads.unused(inode, layout, self.osds.by_node())

    def note_read(self, grant: Grant, node: str) -> None:
        """A file was opened to be read on a machine."""
        if grant.layout.update is Update.READ_ONLY and self.reads.note(grant.inode.id, node):
            self._bring(grant.inode.id, node, grant.layout)

    def _bring(self, inode: int, node: str, layout: Layout) -> None:
        """Have a replica made near a machine, unless there is one."""
        if inode not in self._bringing and is_far(node, layout, self.osds.by_node()):
            self._bringing.add(inode)
            self.host.spawn(self._brought(inode, node), name="mrc-near")

    async def _brought(self, inode: int, node: str) -> None:
        what = f"inode {inode}"
        try:
            extra = (await self.desk.read(what, lambda db: _policy(db, inode))).extra
            async with self.changing.alone(inode):
                layout = (await self.desk.read(what, lambda db: _grant(db, SELF, inode))).layout
                number, least = len(layout.replicas), layout.least or len(layout.replicas)
                if number - least >= extra or layout.wish is not None or not is_far(node, layout, self.osds.by_node()):
                    return
                await self._reach(inode, Goal(number + 1, layout.update, near=node), SELF)
            self.management.look(inode)  # what it lacks, it takes from there
            log.info("replica-near-reader", inode=inode, reader=node)
        except XosError as error:
            log.info("replica-not-near-reader", inode=inode, reader=node, code=error.code, detail=error.message)
        finally:
            self._bringing.discard(inode)

    async def manage(self, inode: int, goal: Goal) -> None:
        """What the MRC does by itself; replicas that lack something get it. Raises `Refused`."""
        what = f"inode {inode}"
        async with self.changing.alone(inode):
            await self._reach(inode, goal, SELF)
            grant = await self.desk.read(what, lambda db: _grant(db, SELF, inode))
            if grant.layout.update is Update.READ_ONLY:
                await self._filled(grant, goal, what)

    async def _reach(self, inode: int, goal: Goal, who: Who) -> Layout:
        """Change replicas step by step. Raises `Refused`."""
        what, told = f"inode {inode}", False
        for _ in range(MOST_STEPS):
            grant = await self.desk.read(what, lambda db: _grant(db, who, inode))
            if not await self._settled(grant, goal, what):
                continue
            step = await self.desk.write(what, partial(self._step, seen=grant, goal=goal))
            if isinstance(step, Stuck):
                if told:
                    raise Refused.of(errno.ENOSPC, f"{what}: {step.reason}")
                told = await self._told(grant.file_id)
                continue  # an OSD that was still to delete its old share may take a new one now
            told = False
            if step is None:
                return grant.layout
            self.desk.tell(None, Changed(What.LAYOUT, inode))
            self.chores.look()
        raise Refused.of(errno.EAGAIN, f"{what}: others change it too")

    async def _told(self, file_id: str) -> bool:
        """Wait a little until OSDs have heard all about a file, and look which there are by now."""
        self.chores.look()
        await self.osds.look()
        for _ in range(WAIT_TURNS):
            if not await self.store.read(lambda db: contents.awaiting(db, file_id)):
                break
            await asyncio.sleep(WAIT_SECONDS)
        return True

    def _step(self, db: sa.Connection, seen: Grant, goal: Goal) -> Result[Layout | Stuck | None]:
        """Take the next step from what was *seen*, unless it is not so any more."""
        number = seen.inode.id
        whole = rows.whole(db, number)
        if whole is None:
            return Refusal(errno.ESTALE)
        layout = contents.layout_of(whole)
        if layout != seen.layout:
            return layout
        if goal.update is Update.READ_ONLY is not layout.update and handles.is_written(db, number):
            return Refusal(errno.ETXTBSY)
        policy = contents.policy_of(db, whole)
        awaiting = contents.awaiting(db, seen.file_id)

        def more(not_on: frozenset[str]) -> Replica | None:
            return self.osds.replica(policy, whole.inode.owner, layout.striping.width, not_on | awaiting, goal.near)

        step = (
            replication.next_step(layout, goal, more)
            if layout.replicas
            else self._first(policy, whole.inode.owner, goal)
        )
        if isinstance(step, Layout):
            if goal.near:
                step = msgspec.structs.replace(step, least=layout.least or len(layout.replicas))
            self._keep(db, seen, step)
        return step

    def _first(self, policy: Policy, owner: str, goal: Goal) -> Layout | Stuck:
        """Of a file that was never placed."""
        wished = Policy(policy.striping, goal.update, goal.replicas, policy.osd_selection)
        layout = self.osds.place(wished, owner, goal.without)
        return Stuck("there are too few OSDs") if layout is None else layout

    async def _settled(self, grant: Grant, goal: Goal, what: str) -> bool:
        """Have replicas that stay get what those have that go; no: the layout is another one now. EAGAIN."""
        layout = grant.layout
        going = [replica for replica in layout.replicas if goal.leaves(replica)]
        if layout.update is Update.READ_ONLY:
            return not (going and await self._filled(grant, goal, what))
        if layout.update not in WRITTEN or len(layout.replicas) < 2:
            await self._answering(grant, goal, going, what)
            return True
        capability, primary = self.desk.capability(grant, self.node), layout.replicas[layout.primary]
        try:
            async with asyncio.TaskGroup() as tasks:
                for osd in primary.osds:
                    tasks.create_task(self.osds.settle(osd, capability))
        except* XosError as errors:
            log.info("not-settled", file=grant.file_id, errors=[str(error) for error in errors.exceptions])
        everywhere = [osd for replica in layout.replicas for osd in replica.osds]
        states = await self.osds.states(everywhere, grant.file_id, PROBE_SECONDS)
        states = {osd: state for osd, state in states.items() if osd not in _lost(layout, goal)}
        if replication.is_settled(layout, states):
            return True
        dead = next((osd for osd in primary.osds if osd not in states), None)
        next_ = None if dead is None else replication.without_dead(layout, dead, states)
        next_ = next_ or replication.without_lost(layout, goal, states)
        if next_ is None:
            raise Refused.of(errno.EAGAIN, f"{what}: replicas are not in step yet")
        await self.desk.write(what, lambda db: self._take_over(db, grant, next_))
        return False

    async def _answering(self, grant: Grant, goal: Goal, going: list[Replica], what: str) -> None:
        """The only replica answers, before others are to take over what it has. EAGAIN."""
        osds = [osd for replica in going for osd in replica.osds]
        if not _lost(grant.layout, goal).isdisjoint(osds):
            raise Refused.of(errno.EAGAIN, f"{what}: its only replica is on a disk that is gone")
        if len(await self.osds.states(osds, grant.file_id, PROBE_SECONDS)) < len(osds):
            raise Refused.of(errno.EAGAIN, f"{what}: its only replica does not answer")

    async def _filled(self, grant: Grant, goal: Goal, what: str) -> bool:
        """Have replicas of a file that does not change get all that they lack; whether one is complete by that."""
        capability, full = self.desk.capability(grant, self.node), set[str]()

        async def fill(osd: str) -> None:
            try:
                await self.osds.settle(osd, capability)
                full.add(osd)
            except XosError as error:
                log.info("not-filled", file=grant.file_id, osd=osd, code=error.code, detail=error.message)

        partial_ = [replica for replica in grant.layout.replicas if not replica.complete]
        async with asyncio.TaskGroup() as tasks:
            for osd in (osd for one in partial_ for osd in one.osds if osd not in goal.without):
                tasks.create_task(fill(osd))
        layout = replication.completed(grant.layout, frozenset(full))
        if layout != grant.layout:
            await self.desk.write(what, lambda db: self._take_over(db, grant, layout))
        return layout != grant.layout

    def _take_over(self, db: sa.Connection, seen: Grant, layout: Layout) -> Result[Layout]:
        """Another primary than in what was *seen*, unless that is not so any more."""
        whole = rows.whole(db, seen.inode.id)
        if whole is None:
            return Refusal(errno.ESTALE)
        now = contents.layout_of(whole)
        if now != seen.layout:
            return now
        self._keep(db, seen, layout)
        return layout

    def _keep(self, db: sa.Connection, seen: Grant, layout: Layout) -> None:
        contents.set_layout(db, seen.inode.id, layout)
        kept = frozenset(osd for replica in layout.replicas for osd in replica.osds)
        contents.delete_at(db, seen.layout, seen.file_id, keep=kept)


def _lost(layout: Layout, goal: Goal) -> set[str]:
    """OSDs that have other disks now than the file was placed on."""
    return {
        osd
        for replica in layout.replicas
        for osd, store in zip(replica.osds, replica.stores, strict=False)
        if store in goal.lost
    }


def _policy(db: sa.Connection, inode: int) -> Result[Policy]:
    whole = rows.whole(db, inode)
    return Refusal(errno.ESTALE) if whole is None else contents.policy_of(db, whole)


def _grant(db: sa.Connection, who: Who, inode: int) -> Result[Grant]:
    """What the MRC itself may do with a file whose replicas *who* may change."""
    whole = rows.whole(db, inode)
    if whole is None:
        return Refusal(errno.ESTALE)
    if not owns(whole.inode, who):
        return Refusal(errno.EPERM)
    if not contents.is_file(whole.inode):
        return Refusal(errno.EINVAL)
    volume = volumes.volume(db, whole.volume)
    return contents.grant(db, whole, volume, contents.layout_of(whole), Access.READ | Access.WRITE)
