# SPDX-License-Identifier: BSD-3-Clause
"""Volumes, quotas, sessions, and who watches."""

from __future__ import annotations

import asyncio
import errno
import fnmatch
import re
import secrets
import time
from collections.abc import AsyncIterator

import msgspec
import sqlalchemy as sa

from xos.dixi.api import current_call
from xos.xtreemfs.api import LEASE_SECONDS, Ask, Changed, Policy, Quota, Session, Space, Volume
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.mrc import clearing, rows, sessions, snapshots, usage, volumes
from xos.xtreemfs.mrc.calls.base import Calls
from xos.xtreemfs.mrc.calls.inodes import check_policy
from xos.xtreemfs.mrc.desk import Live
from xos.xtreemfs.mrc.values import Inode, Refusal, Result, Who
from xos.xtreemfs.mrc.volumes import Volume as Kept

MOST_CLIENT = 200
MOST_SESSIONS = 1000
"""Of one machine or user; those that are not kept end after a minute."""
MOST_BYTES = 1 << 62
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_decode_policy = msgspec.msgpack.Decoder(Policy).decode


class VolumeCalls(Calls):
    """See `MRC`."""

    makers: tuple[str, ...]

    async def make_volume(self, name: str, mode: int, policy: Policy, quota: int, ask: Ask) -> Volume:
        """See `MRC.make_volume`."""
        what, uuid = f"volume {name[:64]}", secrets.token_hex(16)
        check_policy(policy, what)
        if not _NAME.fullmatch(name) or not 0 <= quota <= MOST_BYTES:
            raise Refused.of(errno.EINVAL, what)
        kept = msgspec.msgpack.encode(policy)

        def make(db: sa.Connection, who: Who, now: int) -> Result[Volume]:
            if not who.superuser and not any(fnmatch.fnmatchcase(who.user, maker) for maker in self.makers):
                return Refusal(errno.EACCES)
            made = volumes.make_volume(db, who, name, mode, now, uuid=uuid, policy=kept, quota=quota)
            return made if isinstance(made, Refusal) else self._shown(db, made)

        made = await self.desk.change(ask, Volume, what, make)
        self.heart.beat()
        return made

    async def remove_volume(self, name: str, force: bool, ask: Ask) -> None:
        """See `MRC.remove_volume`."""

        what, who = f"volume {name[:64]}", self.desk.who(ask.claim, f"volume {name[:64]}")

        def look(db: sa.Connection) -> Result[Kept]:
            found = volumes.find_volume(db, name)
            if found is None:
                return Refusal(errno.ENOENT)
            if leased := self.desk.leases.of_volume(found.id, ask.session):
                return Refusal(errno.EAGAIN, leased)
            of = snapshots.origin(db, found)
            return found if who.superuser or who.user in (found.owner, of.owner) else Refusal(errno.EACCES)

        def remove(db: sa.Connection, who: Who, now: int) -> Result[None]:  # noqa: ARG001 -- `look` has checked
            found = look(db)
            if isinstance(found, Refusal):
                return found
            if snapshots.there(db, found.uuid):
                return Refusal(errno.ENOTEMPTY)
            if found.origin:
                snapshots.tell_anew(db, snapshots.origin(db, found), self.osds.nodes())
            return volumes.remove_volume(db, name)

        found = await self.desk.read(what, look)
        if force:
            for one in await self.store.read(lambda db: snapshots.list_snapshots(db, found)):
                await self.remove_volume(one.name, True, Ask(claim=ask.claim))
        while (force or bool(found.origin)) and await self.desk.write(what, lambda db: clearing.clear(db, found)):
            self.chores.look()
        await self.desk.change(ask, None, what, remove)
        for session in [one for one, live in self.desk.live.items() if live.kept.volume == found.id]:
            await self._give_up(session)
        self.heart.beat()
        self.chores.look()

    async def change_volume(self, name: str, policy: Policy, quota: int, ask: Ask) -> Volume:
        """See `MRC.change_volume`."""
        what = f"volume {name[:64]}"
        check_policy(policy, what)
        if not 0 <= quota <= MOST_BYTES:
            raise Refused.of(errno.EINVAL, what)

        def change(db: sa.Connection, who: Who, now: int) -> Result[Volume]:  # noqa: ARG001
            found = volumes.find_volume(db, name)
            if found is None:
                return Refusal(errno.ENOENT)
            if found.origin:
                return Refusal(errno.EROFS)
            if not who.superuser and (who.user != found.owner or quota != found.quota):
                return Refusal(errno.EACCES)
            if leased := self.desk.leases.of_volume(found.id, ask.session):
                return Refusal(errno.EAGAIN, leased)
            changed = volumes.change_volume(db, name, msgspec.msgpack.encode(policy), quota)
            return changed if isinstance(changed, Refusal) else self._shown(db, changed)

        return await self.desk.change(ask, Volume, what, change)

    async def set_quota(self, volume: str, quota: Quota, ask: Ask) -> None:
        """See `MRC.set_quota`."""
        what = f"quota of {quota.kind} {quota.name[:64]}"
        if quota.kind not in ("user", "group") or not 0 <= quota.limit <= MOST_BYTES or len(quota.name) > 160:
            raise Refused.of(errno.EINVAL, what)

        def set_(db: sa.Connection, who: Who, now: int) -> Result[None]:  # noqa: ARG001
            found = volumes.find_volume(db, volume)
            if found is None:
                return Refusal(errno.ENOENT)
            if found.origin:
                return Refusal(errno.EROFS)
            if not who.superuser:
                return Refusal(errno.EACCES)
            if leased := self.desk.leases.of_volume(found.id, ask.session):
                return Refusal(errno.EAGAIN, leased)
            usage.set_limit(db, found.id, quota.kind, quota.name, quota.limit)
            return None

        await self.desk.change(ask, None, what, set_)

    async def quotas(self, volume: str) -> list[Quota]:
        """See `MRC.quotas`."""

        def look(db: sa.Connection) -> Result[list[Quota]]:
            found = volumes.find_volume(db, volume)
            if found is None:
                return Refusal(errno.ENOENT)
            return [
                Quota(kind, name, limit, usage.used_by(db, found.id, kind, name) if name else 0)
                for (kind, name), limit in sorted(usage.limits(db, found.id).items())
            ]

        return await self.desk.read(f"volume {volume[:64]}", look)

    async def volumes(self) -> list[Volume]:
        """See `MRC.volumes`."""

        def look(db: sa.Connection) -> list[Volume]:
            return [self._shown(db, volume) for volume in volumes.list_volumes(db) if not volume.origin]

        return await self.store.read(look)

    def _shown(self, db: sa.Connection, volume: Kept) -> Volume:
        used, files = usage.used(db, volume.id)
        return Volume(
            name=volume.name,
            id=volume.uuid,
            root=volume.root,
            owner=volume.owner,
            policy=_decode_policy(volume.policy),
            quota=volume.quota,
            used=used,
            files=files,
            mrc=(self.node,),
            origin=volume.name.rpartition("@")[0],
            number=volume.number,
            made=volume.made,
            path=volume.path,
        )

    async def space(self, volume: str) -> Space:
        """See `MRC.space`."""

        def look(db: sa.Connection) -> Result[Volume]:
            found = volumes.find_volume(db, volume)
            return Refusal(errno.ENOENT) if found is None else self._shown(db, found)

        found = await self.desk.read(f"volume {volume[:64]}", look)
        total = sum(osd.total for osd in self.osds.known)
        free = sum(osd.free for osd in self.osds.known if not osd.suspect)
        if found.quota:
            total = min(total, found.quota)
            free = max(0, min(free, found.quota - found.used))
        return Space(total, free, found.files, MOST_BYTES)

    # --- sessions

    async def begin(self, volume: str, client: str) -> Session:
        """See `MRC.begin`."""
        if len(client) > MOST_CLIENT:
            raise Refused.of(errno.EINVAL, "client")
        holder, new = str(current_call().caller), secrets.token_hex(16)
        if self.desk.count(holder) >= MOST_SESSIONS:
            raise Refused.of(errno.EUSERS, f"sessions of {holder}")

        def begin(db: sa.Connection) -> Result[tuple[sessions.Kept, Inode, Volume]]:
            found = volumes.find_volume(db, volume)
            root = None if found is None else rows.inode(db, found.root)
            if found is None or root is None:
                return Refusal(errno.ENOENT)
            kept = sessions.Kept(new, found.id, holder, client)
            sessions.begin(db, kept)
            return kept, root, self._shown(db, found)

        kept, root, shown = await self.desk.write(f"volume {volume[:64]}", begin)
        self.desk.live[new] = Live(kept, asyncio.get_running_loop().time())
        return Session(new, root, shown, LEASE_SECONDS, time.time_ns())

    async def keep(self, session: str) -> int:
        """See `MRC.keep`."""
        await self.store.settled()
        self.desk.session(session, "session")
        return time.time_ns()

    async def end(self, session: str) -> None:
        """See `MRC.end`."""
        if session in self.desk.live:
            self.desk.session(session, "session")
            await self._give_up(session)

    async def _give_up(self, session: str) -> None:
        raise NotImplementedError

    async def watch(self, session: str) -> AsyncIterator[Changed]:
        """See `MRC.watch`."""
        live = self.desk.session(session, "session")
        async for changed in self.desk.watchers.watch(live.kept.volume, session):
            yield changed
