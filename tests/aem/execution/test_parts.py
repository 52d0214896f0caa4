# SPDX-License-Identifier: BSD-3-Clause
"""Accounts, tombstones, cleaning, slots, launchers and places, each alone."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.jobs import People, acting, machine
from support.units import Node, NodeBus, NodeHost, shell, unit_order
from xos.aem.api import JobOrder, Needs, State
from xos.aem.errors import DoesNotFit, NoAccount, NoSlot, UnitRefused, UnknownAccounts, UnknownLauncher, WorkUnreachable
from xos.aem.execution import places, resources, staging
from xos.aem.execution.accounts import Accounts, accounts_named
from xos.aem.execution.accounts.local import LocalAccounts
from xos.aem.execution.launcher import launcher_named
from xos.aem.execution.launcher.process import ProcessLauncher
from xos.aem.execution.orders import Checked
from xos.aem.execution.resources import ALWAYS, Facts, ResourceManagerService, misfit
from xos.aem.execution.settings import ExecutionSettings, ResourceSettings
from xos.aem.execution.tombstones import CLEANED, KILLED, Stone, Tombstones
from xos.aem.execution.unitdir import is_unit_id
from xos.aem.jsdl import JobDescription
from xos.common.errors import StorageBroken
from xos.common.identity import Identity, Kind
from xos.common.policy import JobContext
from xos.common.tls import Credential

# --- accounts


def local(path: Path, last: int = 5010) -> LocalAccounts:
    return LocalAccounts(path, ExecutionSettings(first_uid=5000, last_uid=last))


def number(accounts: Accounts, user: str, vo: str = "demo") -> int:
    description = JobDescription(executable="/bin/true")
    checked = Checked(Identity(Kind.USER, user, vo=vo), JobOrder("", vo, b""), description, JobContext())
    account = accounts.account(checked, b"")
    assert account.gid == account.uid
    return account.uid


def test_an_account_is_never_given_twice(tmp_path: Path) -> None:
    first = local(tmp_path, 5003)
    given_out = [number(first, "alice"), number(first, "bob"), number(first, "alice", "other")]
    assert given_out == [5000, 5001, 5002]
    again = local(tmp_path, 5003)
    assert number(again, "bob") == 5001
    assert number(again, "carol") == 5003
    with pytest.raises(NoAccount, match="5000 to 5003 are in use"):
        number(again, "dave")
    assert number(local(tmp_path), "dave") == 5004


def test_a_torn_last_line_was_never_an_account(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text("5000 demo alice\n5001 demo b")
    assert number(local(tmp_path), "bob") == 5001
    assert path.read_text() == "5000 demo alice\n5001 demo bob\n"


@pytest.mark.parametrize(
    "text", ["5000 demo\n", "root demo alice\n", "5000 demo alice\n5000 demo bob\n", "0 demo eve\n"]
)
def test_a_damaged_file_of_accounts_is_not_guessed_at(tmp_path: Path, text: str) -> None:
    (tmp_path / "accounts").write_text(text)
    with pytest.raises(StorageBroken, match="is no account"):
        local(tmp_path)


def test_an_account_that_cannot_be_written_down_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = local(tmp_path)
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "full")

        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            number(accounts, "alice")
    assert (tmp_path / "accounts").read_text() == ""
    assert number(accounts, "bob") == 5000


def test_accounts_that_do_not_exist_are_told_with_those_that_do() -> None:
    with pytest.raises(UnknownAccounts, match="there are: local, mapped"):
        accounts_named("borrowed")


# --- tombstones and cleaning


def test_stones_stand_across_restarts_until_they_expire(tmp_path: Path) -> None:
    stones = Tombstones(tmp_path / "stones")
    soon, late = Stone("demo-a.0", int(time.time()) - 1, CLEANED), Stone("demo-b.0", int(time.time()) + 99, KILLED)
    stones.lay([soon, late])
    with (tmp_path / "stones").open("a") as file:
        file.write("demo-c.0 99999")  # cut short by a crash
    again = Tombstones(tmp_path / "stones")
    assert (again.why("demo-a.0"), again.why("demo-b.0"), again.why("demo-c.0")) == ("", KILLED, "")
    assert (tmp_path / "stones").read_text().count("\n") == 1


async def test_a_cleaned_unit_is_gone_and_its_order_cannot_run_again(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    deep = "p=d; for i in $(seq 300); do p=$p/d; done; mkdir -p $p; cd $p; for i in $(seq 300); do mkdir d; cd d; done"
    order = unit_order(alice, shell(deep))
    async with Node(people, place, name=node_name) as node:
        assert (await node.run(order)).state is State.DONE
        dirs = node.execution._dirs
    for _ in range(2):
        async with Node(people, place, name=node_name, keep_days=0.0) as node:
            async with asyncio.timeout(10):
                while any([*dirs.live.iterdir(), *dirs.ended.iterdir(), *dirs.work.iterdir()]):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # cleaning is in the background
            assert await node.execution.units([order.unit_id]) == []
            with pytest.raises(UnitRefused, match="it has run here and was cleaned away"):
                await node.start(order)


async def test_too_many_ended_units_are_cleaned_oldest_first(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    orders = [unit_order(alice, shell("true")) for _ in range(4)]
    async with Node(people, place, name=node_name) as node:
        for order in orders:
            await node.run(order)
    dirs, stones = node.execution._dirs, node.execution._stones
    for age, order in enumerate(orders):
        os.utime(dirs.ended / order.unit_id / "exit", (time.time() - 100 * (len(orders) - age),) * 2)
    gone = places.clean(dirs, stones, keep_seconds=1000.0, keep_units=2, now=time.time())
    assert sorted(gone) == sorted(order.unit_id for order in orders[:2])
    assert sorted(path.name for path in dirs.ended.iterdir()) == sorted(order.unit_id for order in orders[2:])


# --- slots


def manager(people: People, data: Path, **settings: Any) -> ResourceManagerService:
    host = NodeHost(people, people.trust, "node1", data, NodeBus("node1", machine("node1"), None))
    return ResourceManagerService(host, ResourceSettings(**settings))


CORE, OWN = machine("core"), machine("node1")


async def test_a_slot_is_held_once_per_unit_and_until_its_time(people: People, tmp_path: Path) -> None:
    slots = manager(people, tmp_path, slots=2)
    with acting(CORE):
        await slots.reserve("demo-a.0", Needs(), 0.05)
        await slots.reserve("demo-a.0", Needs(), 0.05)
        assert (await slots.describe_resource()).slots_free == 1
        held = await slots.reserve("demo-b.0", Needs(), 30.0)
        assert 25 < held.expires - time.time() < 35
        with pytest.raises(NoSlot, match="2/2 used"):
            await slots.reserve("demo-c.0", Needs(), 1.0)
        async with asyncio.timeout(15):
            while (await slots.describe_resource()).slots_free == 0:  # noqa: ASYNC110  # the first runs out
                await asyncio.sleep(0.01)
        await slots.reserve("demo-c.0", Needs(), 1.0)
        await slots.release("demo-b.0")
        await slots.release("demo-unknown.0")
        assert (await slots.describe_resource()).slots_free == 1
    await slots.stop()


async def test_only_the_node_itself_gives_back_the_slot_of_what_runs(people: People, tmp_path: Path) -> None:
    slots = manager(people, tmp_path, slots=1)
    with acting(CORE):
        await slots.reserve("demo-a.0", Needs(), ALWAYS)
        assert (await slots.reserve("demo-a.0", Needs(), 1e300)).expires - time.time() < 601
    with acting(OWN):
        assert (await slots.reserve("demo-a.0", Needs(), ALWAYS)).expires == 0.0
    with acting(CORE):
        await slots.release("demo-a.0")
        await slots.reserve("demo-a.0", Needs(), 0.0)
        assert (await slots.describe_resource()).slots_free == 0
    with acting(OWN):
        await slots.release("demo-a.0")
    assert (await slots.describe_resource()).slots_free == 1
    await slots.stop()


@pytest.mark.parametrize(("seconds", "held"), [(-1.0, 1), (float("nan"), 1), (float("inf"), 0)])
async def test_odd_times_do_no_harm(people: People, tmp_path: Path, seconds: float, held: int) -> None:
    slots = manager(people, tmp_path, slots=1)
    with acting(CORE):
        await slots.reserve("demo-a.0", Needs(), seconds)
        await asyncio.sleep(0.02)
        assert (await slots.describe_resource()).slots_free == held
    await slots.stop()


@pytest.mark.parametrize(("needs", "says"), [
    (Needs(cores=3), "2 cores, the job needs 3"),
    (Needs(memory=2**40), "bytes of memory, the job needs 1099511627776"),
    (Needs(architecture="riscv64"), "it is x86_64, the job needs riscv64"),
    (Needs(hosts=("node2", "node3")), "names other nodes"),
])  # fmt: skip
def test_what_can_never_fit_says_why(needs: Needs, says: str) -> None:
    assert says in misfit(Facts(2, 2**30, "x86_64", "host"), "node1", needs)


def test_what_fits_fits() -> None:
    needs = Needs(2, 2**30, "x86_64", ("node1", "node2"))
    assert misfit(Facts(2, 2**30, "x86_64", "host"), "node1", needs) == ""


async def test_a_reservation_is_for_a_unit_that_can_be(people: People, tmp_path: Path) -> None:
    slots = manager(people, tmp_path)
    with acting(CORE), pytest.raises(DoesNotFit):
        await slots.reserve("../x", Needs())
    assert resources.read_facts().memory > 0


# --- names and places


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_a_unit_id_is_always_one_plain_name(text: str) -> None:
    if is_unit_id(text):
        assert text not in (".", "..")
        assert os.path.basename(text) == text  # noqa: PTH119  # this is about strings
        assert text.isascii()


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b c", "\0", "é" * 200]), min_size=1, max_size=5))
@settings(deadline=None)
def test_a_staged_name_never_leaves_its_directory(parts: list[str]) -> None:
    name = "/".join(parts)
    if staging.is_inside(name):
        assert os.path.normpath(f"/root/{name}") == f"/root/{name}"
        assert "\0" not in name


def test_an_unknown_launcher_says_which_there_are() -> None:
    assert launcher_named("process") is ProcessLauncher
    with pytest.raises(UnknownLauncher, match="no launcher is called ../x; there are: process"):
        launcher_named("../x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give units accounts of their own")
async def test_a_closed_directory_sends_working_directories_elsewhere(
    people: People, place: Path, node_name: str, alice: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(places, "FALLBACK", place / "elsewhere")
    for _ in range(2):
        async with Node(people, closed, name=node_name) as node:
            order = unit_order(alice, shell("pwd; echo >$TMPDIR/x"))
            assert (await node.run(order)).state is State.DONE
            assert (await node.output(order.unit_id)).decode().startswith(f"{place}/elsewhere/{node_name}-")
    assert len(list((place / "elsewhere").iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give units accounts of their own")
async def test_a_working_directory_that_accounts_cannot_enter_is_an_error_that_names_it(
    people: People, place: Path, node_name: str
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(WorkUnreachable, match=f"may not enter {closed}"):
        async with Node(people, place, name=node_name, work=str(closed / "work")):
            raise AssertionError


async def test_a_configured_directory_is_shared_with_others_unharmed(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    (place / "scratch" / "somebody-elses").mkdir(parents=True)
    for _ in range(2):
        async with Node(people, place, name=node_name, work=str(place / "scratch")) as node:
            assert (await node.run(unit_order(alice, shell("true")))).state is State.DONE
    assert (place / "scratch" / "somebody-elses").is_dir()


def test_removing_follows_no_link(place: Path) -> None:
    (place / "kept").mkdir()
    (place / "kept" / "file").touch()
    (place / "gone").mkdir()
    (place / "gone" / "link").symlink_to(place / "kept")
    places.remove([place / "gone"])
    assert (place / "kept" / "file").exists()
    assert not (place / "gone").exists()


def test_the_starter_and_the_shim_need_nothing_but_the_standard_library() -> None:
    source = str(Path(places.__file__).parents[3])
    program = (
        "import sys; before = set(sys.modules); sys.path.append(sys.argv[1])\n"
        "from xos.aem.execution import starter\n"
        "own = {'xos', 'xos.aem'}\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'xos'}))"
    )
    python = ["python3", "-I", "-S", "-c", program, source]
    done = subprocess.run(python, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
