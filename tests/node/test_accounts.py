# SPDX-License-Identifier: BSD-3-Clause
"""Identities and numbers: what is promised, kept and never given twice."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.node import GIDS, UIDS, identity
from xos.node.accounts import Accounts
from xos.node.allocate import number_for
from xos.node.api import State
from xos.node.config import NodeConfig, Range, Vo
from xos.node.errors import OtherAuthority, RangeFull, StateBroken, TryAgain, UnknownAccount, UnknownVo
from xos.node.names import account_name, split
from xos.node.store import Store

CA = "a" * 64
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)


# --- names and numbers


@given(NAMES, NAMES)
def test_a_name_leads_back_to_its_owner_however_many_dots_it_has(owner: str, vo: str) -> None:
    assert split(account_name(owner, vo), {vo: vo}) == (owner, vo)


@pytest.mark.parametrize(
    "name", ["root", "alice", ".demo", "alice.", "alice.demo ", "-a.demo", "a:b.demo", "a\nb.demo"]
)
def test_what_is_no_vo_users_name_is_nobodys(name: str) -> None:
    assert split(name, {"demo": "demo"}) is None


def test_a_name_of_300_bytes_is_nobodys() -> None:
    assert split("a" * 300 + ".demo", {"demo": "demo"}) is None


@given(st.text(max_size=20), st.sets(st.integers(100, 109)))
def test_a_number_is_free_and_in_its_range_or_there_is_none(key: str, taken: set[int]) -> None:
    number = number_for(key, Range(100_000, 100_009), {each + 99_900 for each in taken})
    if len(taken) == 10:
        assert number is None
    else:
        assert number is not None
        assert number - 99_900 not in taken
        assert 100_000 <= number <= 100_009


# --- looking up and committing


async def test_a_look_up_changes_nothing_and_says_what_the_commit_will_give(accounts: Accounts, store: Store) -> None:
    before = accounts.generation
    tentative = accounts.by_name("alice.demo")
    assert tentative is not None
    assert tentative.state is State.TENTATIVE
    assert accounts.by_uid(tentative.uid) is None
    assert (accounts.generation, store.accounts()) == (before, [])
    account = await accounts.commit(identity("alice"), CA, uid=tentative.uid)
    assert account.uid == tentative.uid
    assert accounts.by_uid(account.uid) == account
    assert store.accounts() == [account]


async def test_of_two_logins_with_one_number_the_first_gets_it_and_the_other_works_at_the_next_try(
    accounts: Accounts,
) -> None:
    held = {f"u{n}": accounts.by_name(f"u{n}.demo") for n in range(60)}
    uids = {name: account.uid for name, account in held.items() if account is not None}
    twins = next(
        (one, other) for one in uids for other in uids if one < other and uids[one] == uids[other]
    )  # 60 names in 100 numbers: the birthday paradox
    first, second = twins
    await accounts.commit(identity(first), CA, uid=uids[first])
    with pytest.raises(TryAgain):
        await accounts.commit(identity(second), CA, uid=uids[second])
    again = accounts.by_name(f"{second}.demo")
    assert again is not None
    assert again.uid != uids[first]
    assert (await accounts.commit(identity(second), CA, uid=again.uid)).uid == again.uid


async def test_accounts_are_the_same_after_a_restart(
    accounts: Accounts, store: Store, config: NodeConfig, writer: ThreadPoolExecutor
) -> None:
    made = [await accounts.commit(identity(f"u{n}", "demo", "users", "phys.x"), CA) for n in range(5)]
    again = Accounts(store, config, writer=writer)
    assert again.active() == sorted(made, key=lambda each: each.uid)
    assert again.groups() == accounts.groups()
    assert [each.name for each in again.groups()] in (["users.demo", "phys.x.demo"], ["phys.x.demo", "users.demo"])


async def test_a_full_range_is_told_and_nobody_is_put_together_with_another(
    store: Store, config: NodeConfig, writer: ThreadPoolExecutor
) -> None:
    vo = msgspec.structs.replace(config.vos["demo"], uids=Range(1_900_000_000, 1_900_000_002))
    accounts = Accounts(store, msgspec.structs.replace(config, vos={"demo": vo}), writer=writer)
    uids = {(await accounts.commit(identity(f"u{n}"), CA)).uid for n in range(3)}
    assert len(uids) == 3
    assert accounts.by_name("one-more.demo") is None
    with pytest.raises(RangeFull, match="all 3 numbers of VO demo"):
        await accounts.commit(identity("one-more"), CA)
    assert accounts.by_name("u1.demo") is not None


async def test_numbers_of_the_machines_own_users_are_left_alone(
    store: Store, config: NodeConfig, writer: ThreadPoolExecutor
) -> None:
    vo = msgspec.structs.replace(config.vos["demo"], uids=Range(1_900_000_000, 1_900_000_001))
    config = msgspec.structs.replace(config, vos={"demo": vo})
    accounts = Accounts(store, config, writer=writer, local_ids=frozenset({1_900_000_000}))
    assert (await accounts.commit(identity("alice"), CA)).uid == 1_900_000_001


async def test_commits_at_the_same_moment_get_numbers_of_their_own(accounts: Accounts) -> None:
    made = await asyncio.gather(*(accounts.commit(identity(f"u{n}"), CA) for n in range(40)))
    assert len({each.uid for each in made}) == 40
    again = await asyncio.gather(*(accounts.commit(identity("u1"), CA) for _ in range(10)))
    assert {each.uid for each in again} == {made[1].uid}


async def test_a_vo_that_is_not_served_has_no_accounts(accounts: Accounts) -> None:
    assert accounts.by_name("alice.other") is None
    with pytest.raises(UnknownVo):
        await accounts.commit(identity("alice", "other"), CA)


async def test_a_vo_founded_anew_does_not_inherit(accounts: Accounts) -> None:
    await accounts.commit(identity("alice"), CA)
    with pytest.raises(OtherAuthority):
        await accounts.commit(identity("alice"), "b" * 64)


async def test_the_same_user_of_two_vos_is_two_accounts(
    store: Store, config: NodeConfig, writer: ThreadPoolExecutor
) -> None:
    other = Vo(
        trust=config.vos["demo"].trust,
        uids=Range(1_900_000_200, 1_900_000_299),
        gids=Range(1_900_000_300, 1_900_000_399),
    )
    both = msgspec.structs.replace(config, vos={**config.vos, "other": other})
    accounts = Accounts(store, both, writer=writer)
    one, two = await accounts.commit(identity("alice"), CA), await accounts.commit(identity("alice", "other"), CA)
    assert (one.name, two.name) == ("alice.demo", "alice.other")
    assert one.uid in UIDS
    assert two.uid in other.uids
    assert accounts.gids(one) != accounts.gids(two)


# --- groups


async def test_own_groups_and_vo_groups_never_have_the_same_name(accounts: Accounts) -> None:
    account = await accounts.commit(identity("users"), CA)  # a user called like the group
    own, vo = accounts.group_by_name("users@demo"), accounts.group_by_name("users.demo")
    assert own is not None
    assert vo is not None
    assert own.gid == account.uid
    assert vo.gid in GIDS
    assert accounts.group_by_gid(account.uid) == own
    assert accounts.gids(account) == [vo.gid]


async def test_groups_follow_the_certificate(accounts: Accounts) -> None:
    await accounts.commit(identity("alice", "demo", "users", "physics"), CA)
    fewer = await accounts.commit(identity("alice"), CA)
    assert fewer.groups == ("users",)


async def test_a_role_puts_its_holder_into_the_group_that_this_node_says(
    accounts: Accounts, config: NodeConfig
) -> None:
    demo = msgspec.structs.replace(config.vos["demo"], roles={"VOAdmin": "admins", "other": "others"})
    accounts.configure(msgspec.structs.replace(config, vos={"demo": demo}), local_ids=frozenset())
    admin = await accounts.commit(identity("alice", roles=("VOAdmin", "unknown")), CA)
    assert admin.groups == ("users", "admins")
    names = {accounts.group_by_gid(gid).name for gid in accounts.gids(admin)}  # type: ignore[union-attr]
    assert names == {"users.demo", "admins.demo"}
    no_more = await accounts.commit(identity("alice"), CA)
    assert no_more.groups == ("users",)


async def test_accounts_shared_by_group_have_the_groups_name(
    store: Store, config: NodeConfig, writer: ThreadPoolExecutor
) -> None:
    vo = msgspec.structs.replace(config.vos["demo"], accounts="group")
    accounts = Accounts(store, msgspec.structs.replace(config, vos={"demo": vo}), writer=writer)
    alice = await accounts.commit(identity("alice", "demo", "Physics"), CA)
    bob = await accounts.commit(identity("bob", "demo", "Physics"), CA)
    assert alice == bob
    assert alice.name == "Physics.demo"
    assert accounts.by_name("Physics.demo") == alice


# --- retiring


async def test_a_retired_number_is_nobodys_until_it_is_released_but_its_old_owners(accounts: Accounts) -> None:
    account = await accounts.commit(identity("alice"), CA)
    (gone,) = await accounts.retire(["alice.demo"])
    assert accounts.by_uid(account.uid) is None
    everybody = [await accounts.commit(identity(f"u{n}"), CA) for n in range(99)]
    assert account.uid not in {each.uid for each in everybody}
    with pytest.raises(RangeFull):
        await accounts.commit(identity("last"), CA)
    assert (await accounts.commit(identity("alice"), CA)).uid == account.uid
    assert await accounts.release([gone]) == []  # she has come back
    (gone,) = await accounts.retire(["alice.demo"])
    assert await accounts.release([gone]) == [gone]
    assert (await accounts.commit(identity("last"), CA)).uid == account.uid


async def test_retiring_somebody_unknown_retires_nobody(accounts: Accounts) -> None:
    account = await accounts.commit(identity("alice"), CA)
    with pytest.raises(UnknownAccount):
        await accounts.retire(["alice.demo", "nobody.demo"])
    assert accounts.by_uid(account.uid) == account


# --- the file


def test_a_second_daemon_is_kept_out(store: Store, state: Path) -> None:
    assert store.accounts() == []
    with pytest.raises(StateBroken, match="another xos-amsd"):
        Store(state)


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000])
def test_a_damaged_file_is_an_error_and_not_an_empty_one(state: Path, damage: bytes) -> None:
    Store(state).close()
    path = state / "accounts.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[:100] + damage + data[100 + len(damage) : 3000])
    with pytest.raises(StateBroken):
        Store(state)


def test_a_newer_releases_file_is_not_touched(state: Path) -> None:
    made = Store(state)
    made._db.execute("PRAGMA user_version = 99")
    made.close()
    with pytest.raises(StateBroken, match="newer release"):
        Store(state)
