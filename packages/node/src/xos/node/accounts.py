# SPDX-License-Identifier: BSD-3-Clause
"""Global identities and the accounts they have on this node.

A look-up changes nothing: a name nobody has used yet gets a *tentative* number that follows from the name and the
numbers that are taken (`xos.node.allocate`). `commit` gives it for good, once a certificate has been verified.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Executor
from functools import partial

import msgspec

from xos.common.identity import Identity
from xos.common.log import get_logger
from xos.node.allocate import number_for
from xos.node.api import Account, State, VoGroup
from xos.node.config import NodeConfig, Range
from xos.node.errors import OtherAuthority, OutsideRange, RangeFull, TryAgain, UnknownAccount, UnknownVo
from xos.node.names import account_name, split
from xos.node.store import Store

log = get_logger("xos.node.accounts")

USED_SECONDS = 3600
"""How exact `Account.used` is: a login within this time writes nothing."""


class Accounts:
    """The accounts of one node: all in memory, every change on disk first. For one event loop."""

    def __init__(
        self, store: Store, config: NodeConfig, *, writer: Executor, local_ids: frozenset[int] = frozenset()
    ) -> None:
        """*writer*: one thread; *local_ids*: numbers of the machine's own users and groups."""
        self._store, self._writer = store, writer
        self._writing = asyncio.Lock()
        self.generation = 0
        """Grows with each change that a look-up can see."""
        self._by_uid = {each.uid: each for each in store.accounts()}
        self._by_owner = {(each.vo, each.owner, each.shared): each for each in self._by_uid.values()}
        self._groups = {each.gid: each for each in store.groups()}
        self._gids = {(each.vo, each.group): each for each in self._groups.values()}
        self._full: dict[str, int] = {}
        """VOs whose ranges were found full, and when (generation): a stranger's look-up must not cost a search."""
        self.configure(config, local_ids=local_ids)

    def configure(self, config: NodeConfig, *, local_ids: frozenset[int]) -> None:
        """Go by *config* from now on."""
        self.config = config
        self._local_ids = local_ids
        self._suffixes = {config.suffix(vo): vo for vo in config.vos}
        self.generation += 1

    # --- looking up

    def by_name(self, name: str) -> Account | None:
        """The account called *name*, or the one that it would be; None when this node can have no such account."""
        parts = split(name, self._suffixes)
        if parts is None:
            return None
        shared = self.config.vos[parts.vo].accounts == "group"
        if not shared and parts.owner != parts.owner.lower():
            return None
        account = self._by_owner.get((parts.vo, parts.owner, shared))
        if account is not None and account.state is State.ACTIVE:
            return self._served(account)
        uid = account.uid if account is not None else self._free_uid(parts.vo, parts.owner)
        if uid is None or uid not in self.config.vos[parts.vo].uids:
            return None
        return Account(uid=uid, name=name, vo=parts.vo, owner=parts.owner, shared=shared, state=State.TENTATIVE)

    def by_uid(self, uid: int) -> Account | None:
        """The account that has *uid*; tentative and retired ones are found by nobody."""
        account = self._by_uid.get(uid)
        return self._served(account) if account is not None and account.state is State.ACTIVE else None

    def group_by_name(self, name: str) -> VoGroup | None:
        """A VO group (``users.demo``), or the own group of an account (``alice@demo``)."""
        owner, at, suffix = name.partition("@")
        if at:
            account = self.by_name(account_name(owner, suffix))
            if account is None or account.state is not State.ACTIVE:
                return None
            return VoGroup(account.uid, name, account.vo, account.owner)
        parts = split(name, self._suffixes)
        return self._gids.get((parts.vo, parts.owner)) if parts is not None else None

    def group_by_gid(self, gid: int) -> VoGroup | None:
        """As `group_by_name`."""
        group = self._groups.get(gid)
        if group is not None:
            return group if group.vo in self.config.vos and gid in self.config.vos[group.vo].gids else None
        account = self.by_uid(gid)
        return VoGroup(gid, account.own_group, account.vo, account.owner) if account is not None else None

    def gids(self, account: Account) -> list[int]:
        """The VO groups of an account, as numbers."""
        return [self._gids[account.vo, name].gid for name in account.groups if (account.vo, name) in self._gids]

    def active(self) -> list[Account]:
        """Those that look-ups find, by number. May be called in any thread: it works on a copy."""
        found = (self._served(each) for each in sorted(self._by_uid.values(), key=_uid))
        return [each for each in found if each is not None and each.state is State.ACTIVE]

    def groups(self) -> list[VoGroup]:
        """VO groups that look-ups find, by number. May be called in any thread."""
        return [each for _, each in sorted(self._groups.items()) if self.group_by_gid(each.gid) is not None]

    def all(self) -> list[Account]:
        """Every account, retired ones and those of VOs that are served no more as well."""
        return [self._by_uid[uid] for uid in sorted(self._by_uid)]

    def _served(self, account: Account) -> Account | None:
        vo = self.config.vos.get(account.vo)
        if vo is None or account.uid not in vo.uids or account.shared != (vo.accounts == "group"):
            return None
        name = account_name(account.owner, self.config.suffix(account.vo))
        return account if account.name == name else msgspec.structs.replace(account, name=name)

    def _free_uid(self, vo: str, owner: str) -> int | None:
        if self._full.get(vo) == self.generation:
            return None
        uid = self._free(f"uid\0{vo}\0{owner}", self.config.vos[vo].uids, self._by_uid)
        if uid is None:
            self._full[vo] = self.generation
        return uid

    def _free(self, key: str, numbers: Range, used: Container[int]) -> int | None:
        return number_for(key, numbers, _Taken(used, self._local_ids))

    # --- changing

    def wanted(self, identity: Identity) -> tuple[str, str, bool]:
        """Name, owner of the account that *identity* has here, and whether it is shared. Raises `UnknownVo`."""
        vo = self.config.vos.get(identity.vo)
        if vo is None:
            raise UnknownVo(vo=identity.vo or "(none)")
        shared = vo.accounts == "group"
        owner = identity.group if shared else identity.name
        return account_name(owner, self.config.suffix(identity.vo)), owner, shared

    async def commit(self, identity: Identity, authority: str, *, uid: int | None = None) -> Account:
        """The account of a verified *identity*, from now on for good; on disk when this returns.

        *authority*: of the CA that vouched for it; *uid*: what whoever asks goes by already. Raises `UnknownVo`,
        `TryAgain` (another has *uid* by now; nothing is kept), `RangeFull`, `OtherAuthority`, `StorageFull`,
        `StateBroken`.
        """
        async with self._writing:
            now = int(time.time())
            account = self._next(identity, authority, now)
            if uid is not None and uid != account.uid:
                raise TryAgain(name=account.name)
            groups = self._new_groups(identity)
            before = self._by_uid.get(account.uid)
            if before is not None and not groups and _nearly(before, account):
                return before
            await self._keep([account], groups)
            if before is None or before.state is not State.ACTIVE:
                log.info("account.mapped", vo=account.vo, user=account.owner, account=account.name, uid=account.uid)
            return account

    def _next(self, identity: Identity, authority: str, now: int) -> Account:
        """The account as it is to be."""
        name, owner, shared = self.wanted(identity)
        numbers = self.config.vos[identity.vo].uids
        groups = self._groups_of(identity)
        account = self._by_owner.get((identity.vo, owner, shared))
        if account is not None and account.uid in numbers:
            if account.authority != authority:
                raise OtherAuthority(name=name, vo=identity.vo)
            if shared:
                groups = account.groups or (owner,)
            return msgspec.structs.replace(account, name=name, groups=groups, state=State.ACTIVE, used=now)
        if account is not None:
            raise OutsideRange(name=name, uid=account.uid, first=numbers.first, last=numbers.last)
        uid = self._free_uid(identity.vo, owner)
        if uid is None:
            raise RangeFull(name=name, vo=identity.vo, count=numbers.size, first=numbers.first, last=numbers.last)
        return Account(
            uid=uid,
            name=name,
            vo=identity.vo,
            owner=owner,
            shared=shared,
            groups=(owner,) if shared else groups,
            authority=authority,
            made=now,
            used=now,
        )

    def _groups_of(self, identity: Identity) -> tuple[str, ...]:
        """Its groups, and those that its roles stand for on this node."""
        roles = self.config.vos[identity.vo].roles
        by_role = (roles[role] for role in identity.roles if role in roles)
        return tuple(dict.fromkeys((identity.group, *identity.groups, *by_role)))

    def _new_groups(self, identity: Identity) -> list[VoGroup]:
        vo, made = identity.vo, dict(self._groups)
        fresh = []
        for group in self._groups_of(identity):
            if (vo, group) in self._gids:
                continue
            name = account_name(group, self.config.suffix(vo))
            numbers = self.config.vos[vo].gids
            gid = self._free(f"gid\0{vo}\0{group}", numbers, made)
            if gid is None:
                raise RangeFull(name=name, vo=vo, count=numbers.size, first=numbers.first, last=numbers.last)
            made[gid] = VoGroup(gid, name, vo, group)
            fresh.append(made[gid])
        return fresh

    async def retire(self, names: Iterable[str]) -> list[Account]:
        """Put accounts into quarantine: their names mean nothing any more, their numbers stay taken.

        Raises `UnknownAccount`; then none is retired.
        """
        async with self._writing:
            by_name = {each.name: each for each in self._by_uid.values()}
            missing = [name for name in names if name not in by_name]
            if missing:
                raise UnknownAccount(name=missing[0])
            gone = [msgspec.structs.replace(by_name[name], state=State.QUARANTINED) for name in dict.fromkeys(names)]
            await self._keep(gone, [])
            return gone

    def quarantined(self) -> list[Account]:
        """Retired accounts whose numbers are not free yet."""
        return [each for each in self._by_uid.values() if each.state is State.QUARANTINED]

    async def release(self, accounts: Iterable[Account]) -> list[Account]:
        """Free the numbers of those that are still as given: nothing is left that they own."""
        async with self._writing:
            free = [each for each in accounts if self._by_uid.get(each.uid) == each]
            await self._in_writer(self._store.forget, [each.uid for each in free])
            for each in free:
                del self._by_uid[each.uid]
                del self._by_owner[each.vo, each.owner, each.shared]
            self.generation += 1
            return free

    async def _keep(self, accounts: list[Account], groups: list[VoGroup]) -> None:
        await self._in_writer(self._store.keep, accounts, groups)
        for account in accounts:
            self._by_uid[account.uid] = account
            self._by_owner[account.vo, account.owner, account.shared] = account
        for group in groups:
            self._groups[group.gid] = group
            self._gids[group.vo, group.group] = group
        self.generation += 1

    async def _in_writer(self, fn: Callable[..., None], *args: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, partial(fn, *args))


def _nearly(before: Account, now: Account) -> bool:
    """Whether nothing has changed that is worth a write."""
    recent = now.used - before.used < USED_SECONDS
    return recent and msgspec.structs.replace(now, used=before.used) == before


def _uid(account: Account) -> int:
    return account.uid


class _Taken:
    """Numbers that nobody may get."""

    def __init__(self, *sets: Container[int]) -> None:
        self._sets = sets

    def __contains__(self, number: object) -> bool:
        return any(number in numbers for numbers in self._sets)
