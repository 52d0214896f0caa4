# SPDX-License-Identifier: BSD-3-Clause
"""What the agent keeps in memory, when it renews, and its connections, with real certificates and a real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agents import PATIENCE, Desk, build_client
from support.daemons import Node, eventually, nodes
from support.dixi import Grid
from xos.common.errors import ConfigMissing, WrongPassphrase
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential
from xos.dixi.agent.keeper import AgentLocked, Keeper, RunTies
from xos.dixi.agent.renewal import Captured, due, keep_renewed, no_input, pause
from xos.dixi.client import NoCredential

pytestmark = pytest.mark.timeout(180)
GREETER = '[services.Directory]\n[services.Greeter]\nimplementation = "support.hosted:Greeter"\n'


def put(home: Path, credential: Credential, passphrase: bytes | None = None) -> None:
    """As get-xos-cert leaves it."""
    (home / "user.key").unlink(missing_ok=True)
    (home / "user.key").touch(mode=0o600)
    (home / "user.key").write_bytes(credential.key_pem(passphrase))
    new = home / "user.pem.new"
    new.write_bytes(credential.certificate_pem())
    new.replace(home / "user.pem")


def configure(home: Path, grid: Grid, address: str = "127.0.0.1:1") -> None:
    (home / "client.toml").write_text(f'[directory]\naddress = "{address}"\n')
    (home / "ca.pem").write_bytes(grid.trust.ca_pem())


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


# --- certificate and key ---------------------------------------------------------------------------------------------


def test_without_files_there_is_no_credential(keeper: Keeper) -> None:
    with pytest.raises(NoCredential):
        _ = keeper.credential
    assert keeper.identity is None


def test_a_key_that_is_not_encrypted_is_found_by_itself(keeper: Keeper, grid: Grid) -> None:
    put(keeper.home, grid.user)
    assert str(keeper.identity) == "alice@demo"


def test_a_newer_certificate_on_disk_takes_the_place_of_the_old(keeper: Keeper, grid: Grid) -> None:
    put(keeper.home, grid.user)
    assert str(keeper.credential.identity) == "alice@demo"
    put(keeper.home, grid.make_user("bob"))
    assert str(keeper.credential.identity) == "bob@demo"


def test_an_encrypted_key_needs_unlocking(keeper: Keeper, grid: Grid) -> None:
    put(keeper.home, grid.user, b"open sesame")
    with pytest.raises(AgentLocked, match="has no key"):
        _ = keeper.credential
    with pytest.raises(WrongPassphrase):
        keeper.unlock(b"wrong")
    assert str(keeper.unlock(b"open sesame")) == "alice@demo"
    assert keeper.credential.identity.name == "alice"


def test_what_is_stored_serves_without_files_and_is_forgotten(keeper: Keeper, grid: Grid) -> None:
    keeper.store(grid.user)
    assert keeper.credential is grid.user
    keeper.forget()
    with pytest.raises(NoCredential):
        _ = keeper.credential


def test_forgetting_is_not_undone_by_files_that_were_there_before(keeper: Keeper, grid: Grid) -> None:
    put(keeper.home, grid.user)
    assert keeper.identity is not None
    keeper.forget()
    assert keeper.identity is None


@pytest.mark.parametrize("damage", ["locked", "broken", "gone"])
def test_a_good_credential_in_memory_outlives_bad_files(keeper: Keeper, grid: Grid, damage: str) -> None:
    keeper.store(grid.user)
    put(keeper.home, grid.make_user("bob"), b"secret" if damage == "locked" else None)
    if damage == "broken":
        (keeper.home / "user.pem").write_text("-----BEGIN CERTIFICATE-----\nrubbish")
    if damage == "gone":
        (keeper.home / "user.key").unlink()
    assert keeper.credential is grid.user


def test_an_expired_credential_in_memory_does_not(keeper: Keeper, grid: Grid) -> None:
    keeper.store(grid.make_user(seconds=-10))
    put(keeper.home, grid.user, b"secret")
    with pytest.raises(AgentLocked):
        _ = keeper.credential


# --- connections -----------------------------------------------------------------------------------------------------


async def test_commands_share_a_bus_until_the_credential_changes(keeper: Keeper, grid: Grid) -> None:
    configure(keeper.home, grid)
    keeper.store(grid.user)
    first, second, third = (RunTies(keeper) for _ in range(3))
    assert first.bus is second.bus
    keeper.store(grid.make_user())
    assert first.bus is second.bus
    assert third.bus is not first.bus
    for ties in (first, second, third):
        ties.close()
    keeper.close()


async def test_without_configuration_the_first_call_says_so(keeper: Keeper, grid: Grid) -> None:
    keeper.store(grid.user)
    with pytest.raises(ConfigMissing):
        _ = RunTies(keeper).bus


# --- renewal ---------------------------------------------------------------------------------------------------------


def identity(begin: int, end: int) -> Identity:
    return Identity(Kind.USER, "alice", "demo", not_before=begin, not_after=end)


@pytest.mark.parametrize(
    ("now", "wanted"), [(0, False), (74, False), (75, True), (99, True), (100, False), (200, False)]
)
def test_renewal_is_due_after_three_quarters_and_never_after_the_end(now: int, wanted: bool) -> None:
    assert due(identity(0, 100), now) is wanted


def test_pauses_grow_with_failures_up_to_a_bound() -> None:
    assert [pause(n) for n in (1, 2, 3, 5, 6, 1000)] == [30, 60, 120, 480, 600, 600]


async def test_renewal_is_tried_until_it_works() -> None:
    waited: list[float] = []
    answers = iter([1, 1, 0])
    held = identity(0, 100)
    clock = 80.0

    async def renew() -> int:
        nonlocal held
        status = next(answers)
        if status == 0:
            held = identity(80, 1000)
        return status

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_renewed(lambda: held, renew, wait=wait, clock=lambda: clock)
    assert waited == [30, 60, 60, 60]  # failed, failed, done, nothing to do


async def test_without_a_certificate_nothing_is_renewed() -> None:
    async def renew() -> int:
        raise AssertionError("nothing to renew")

    async def wait(_: float) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_renewed(lambda: None, renew, wait=wait)


async def test_what_a_renewal_says_is_kept_within_bounds() -> None:
    said = Captured()
    said.write(b"x" * 100_000)
    said.write(b"y")
    await said.drain()
    assert len(said.data) == 65536
    fd = no_input()
    assert os.read(fd, 1) == b""
    os.close(fd)


# --- all of it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "bin").mkdir()
    return Desk(tmp_path, build_client(tmp_path / "bin"))


@pytest.fixture
def core(grid: Grid) -> Iterator[Node]:
    with nodes(Node(grid, "core1", GREETER)) as (node,):
        yield node


def test_the_console_calls_a_service_it_was_never_told_of(desk: Desk, core: Node, grid: Grid) -> None:
    configure(desk.home, grid, core.address)
    put(desk.home, grid.user)
    for _ in range(2):  # once by itself, once in the agent
        listed = desk.run("xconsole", "--json", "Directory", "nodes")
        assert [n["node"] for n in json.loads(listed.stdout)] == ["core1"], listed.stderr
        assert desk.run("xconsole", "Greeter", "greet").stdout == b"hello, alice@demo, from core1\n"
        assert desk.run("xconsole", "Greeter", "count", "--upto", "3").stdout == b"0\n1\n2\n"
        assert b"METHOD" in desk.run("xconsole", "Greeter").stdout
        assert desk.run("xconsole", "--complete", "Greeter", "gr").stdout == b"greet\n"
        lines = desk.run("xconsole", stdin=b"help\n# a comment\nGreeter greet\nGreeter nothing\nGreeter greet\n")
        assert lines.returncode == 2
        assert lines.stdout.endswith(b"nodes.\nhello, alice@demo, from core1\n")
        assert lines.stderr.startswith(b"xconsole: Greeter has no method nothing")
        desk.run("xos-agent", "start")
    try:
        assert desk.agent["user"] == "alice@demo"
    finally:
        os.kill(desk.agent["pid"], signal.SIGKILL)


def test_an_agent_with_a_locked_key_says_how_to_unlock_it(desk: Desk, core: Node, grid: Grid) -> None:
    configure(desk.home, grid, core.address)
    put(desk.home, grid.user, b"open sesame")
    with desk.with_agent():
        refused = desk.run("xconsole", "Greeter", "greet")
        assert refused.returncode == 77
        assert b"xos-agent unlock" in refused.stderr
        assert desk.run("xos-agent", "unlock", stdin=b"wrong\n").returncode == 1
        unlocked = desk.run("xos-agent", "unlock", stdin=b"open sesame\n")
        assert unlocked.stdout.startswith(b"xos-agent acts as alice@demo until "), unlocked.stderr
        assert desk.run("xconsole", "Greeter", "greet").returncode == 0
        assert desk.run("xos-agent", "lock").returncode == 0
        assert desk.run("xconsole", "Greeter", "greet").returncode == 77


def test_the_agent_survives_its_daemon(desk: Desk, core: Node, grid: Grid) -> None:
    configure(desk.home, grid, core.address)
    put(desk.home, grid.user)
    with desk.with_agent():
        assert desk.run("xconsole", "Greeter", "greet").returncode == 0
        core.kill()
        core.start()
        for _ in eventually(PATIENCE):
            if desk.run("xconsole", "--deadline", "5", "Greeter", "greet").returncode == 0:
                break


def test_a_certificate_is_renewed_by_the_installed_command(desk: Desk, grid: Grid) -> None:
    """The renewing command is a double here: it stores a longer-lived certificate that the test has put aside."""
    # Already due, for it counts from five minutes ago; good for longer than a busy machine takes to start the agent.
    put(desk.home, grid.make_user(seconds=90))
    later = grid.make_user(seconds=3600)
    (desk.home / "next.pem").write_bytes(later.pem())
    info = Path(desk.env["PYTHONPATH"].partition(":")[0]) / "renewing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aaa-renewing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[xos.commands]\nget-xos-cert = support.sample_commands:RENEW\n")
    with desk.with_agent():
        for _ in eventually(PATIENCE):
            if (desk.agent["not_after"] or 0) > time.time() + 600:
                break
