# SPDX-License-Identifier: BSD-3-Clause
"""What the three services share, and that it survives."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from cryptography import x509

from xos.common import migrations
from xos.common.certificate import CertificateRevoked, parse_identity
from xos.common.config import ConfigError
from xos.common.errors import StorageFull
from xos.common.tls import Trust
from xos.vom import chains, ledger, members, sharing
from xos.vom import core as cores
from xos.vom.api import CrlPublished, Log, UserState
from xos.vom.core import MIGRATIONS, VomCore
from xos.vom.errors import UnknownUser, VomInUse
from xos.vom.records import store as records
from xos.vom.store import METADATA

from .conftest import CoreMachine, acting, founded


async def test_the_three_services_of_a_daemon_have_one_core_and_the_last_closes_it(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    await asyncio.gather(*(service.start() for service in machine.services))
    assert machine.xvoms.core is machine.cda.core is machine.rca.core
    await machine.stop()
    assert not sharing._opened
    await (await VomCore.open(tmp_path / "vom")).close()


async def test_a_second_daemon_is_told_that_the_directory_is_in_use(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    core = await VomCore.open(tmp_path / "vom")
    with pytest.raises(VomInUse):
        await machine.xvoms.start()
    await core.close()
    await machine.start()
    await machine.stop()


async def test_everything_is_there_after_a_stop(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    await machine.start()
    await machine.add("alice", groups=("atlas",))
    before = await machine.get("alice")
    await machine.add("bob")
    bob = await machine.get("bob")
    await machine.suspend("bob")
    await machine.stop()
    await machine.start()
    assert (await machine.renew(before)).certificate
    trust = Trust([await machine.cda.ca()], await machine.cda.revocations())
    assert trust.identify(before.certificate).groups == ("atlas",)
    with pytest.raises(CertificateRevoked):
        trust.identify(bob.certificate)
    await machine.stop()


async def test_crl_numbers_grow_over_restarts_and_when_an_old_database_is_restored(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    numbers = []
    await machine.start()
    await machine.stop()
    database = tmp_path / "vom" / "vom.sqlite"
    backup = database.read_bytes()
    for restore in (False, True):
        if restore:
            database.write_bytes(backup)
        await machine.start()
        numbers += [machine.core.crl.number, (await machine.core.publish_crl()).number]
        await machine.stop()
    assert numbers == sorted(set(numbers))


async def test_a_suspension_whose_crl_was_lost_with_the_daemon_is_in_the_first_crl_after_it(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    await machine.start()
    await machine.add("alice")
    alice = await machine.get("alice")
    await machine.core.store.write(lambda connection: ledger.revoke_user(connection, 1, 1_700_000_000))
    await machine.stop()
    await machine.start()
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(alice.certificate)
    await machine.stop()


async def test_suspensions_at_the_same_time_share_a_crl(machine: CoreMachine) -> None:
    names = [f"user{i}" for i in range(30)]
    await asyncio.gather(*(machine.add(name) for name in names))
    holders = [(await machine.get(name)).identity.serial for name in names]
    before = len(machine.bus.published)
    await asyncio.gather(*(machine.suspend(name) for name in names))
    assert len(machine.bus.published) - before < 10
    revoked = x509.load_der_x509_crl(await machine.cda.revocations())
    assert {entry.serial_number for entry in revoked} == set(holders)


async def test_a_wrong_key_in_the_configuration_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "vom.toml").write_text('ca_name = "x"\npasword_checks = 2\n')
    with pytest.raises(ConfigError) as caught:
        await VomCore.open(tmp_path)
    assert caught.value.data["line"] == 2


async def test_the_migrated_database_is_what_the_schema_says(tmp_path: Path) -> None:
    await (await VomCore.open(tmp_path)).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'vom.sqlite'}")
    with engine.connect() as connection:
        both = sa.MetaData(naming_convention=METADATA.naming_convention)
        for table in (*METADATA.tables.values(), *records.METADATA.tables.values()):
            table.to_metadata(both)
        assert migrations.differences(connection, both, MIGRATIONS) == []
    engine.dispose()


def test_the_schema_is_good_postgresql() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    text = "\n".join(str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.sorted_tables)
    assert "SERIAL NOT NULL" in text
    assert "serial BIGINT NOT NULL" in text
    assert "DOUBLE PRECISION" in text


CHILD = """
import asyncio, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, {tests!r})
from tests_vom_conftest import founded
async def main():
    machine = await founded(Path({directory!r}))
    await machine.start()
    for i in range(100000):
        await machine.add(f"user{{i}}", roles=("Operator",))
        credential = await machine.get(f"user{{i}}")
        print(f"user{{i}}", credential.identity.serial, flush=True)
        if i % 3 == 2:
            await machine.suspend(f"user{{i}}")
            print("suspended", f"user{{i}}", flush=True)
asyncio.run(main())
"""


def _killed_after(lines: int, script: str) -> list[list[str]]:
    """What *script* printed until it was killed, in words: at least so many lines, only whole ones."""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    printed = [child.stdout.readline() for _ in range(lines)]
    os.kill(child.pid, signal.SIGKILL)
    printed += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return [line.split() for line in printed if line.endswith("\n")]


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "tests_vom_conftest.py").symlink_to(Path(__file__).with_name("conftest.py"))
    (library / "support").symlink_to(Path(__file__).parents[1] / "support")
    lines = _killed_after(40, CHILD.format(tests=str(library), directory=str(tmp_path / "core")))
    issued = {name: int(serial) for name, serial in lines if name != "suspended"}
    suspended = {name for word, name in lines if word == "suspended"}
    machine = await founded(tmp_path / "core")
    await machine.start()
    with acting(machine.identity):
        users = {user.name: user for user in await machine.xvoms.list_users("demo")}
    assert set(issued) <= set(users)
    assert all(users[name].roles == ("Operator",) for name in issued)
    with sqlite3.connect(tmp_path / "core" / "vom" / "vom.sqlite") as connection:
        recorded = {serial for (serial,) in connection.execute("select serial from certificates")}
    connection.close()
    assert set(issued.values()) <= recorded
    crl = {entry.serial_number for entry in x509.load_der_x509_crl(await machine.cda.revocations())}
    assert {issued[name] for name in suspended} <= crl
    await machine.stop()


NEWER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests_vom_conftest import acting, founded
import msgspec
from xos.common.signing import sign
from xos.vom.api import USAGE_PURPOSE, UsageRecord
async def main():
    machine = await founded(Path({directory!r}))
    await machine.start()
    node = await machine.join("node1")
    for i in range(100000):
        vo = f"vo{{i}}"
        with acting(machine.identity):
            await machine.xvoms.create_vo(vo)
        lines = "".join(f"user{{n}},users\\n" for n in range(30))
        with acting(machine.identity):
            await machine.xvoms.import_users(vo, "name,groups\\n" + lines)
        print("imported", vo, flush=True)
        run = 'action == Action::"runJob"'
        rule = f'@id("r") forbid(principal, {{run}}, resource) when {{{{ resource.cores > {{i + 900}} }}}};'
        with acting(machine.identity):
            await machine.vops.put_policy(vo, "p", rule, 0)
        print("policy", vo, flush=True)
        record = UsageRecord(f"node1:{{vo}}.0", vo, "user1", "users", vo, f"{{vo}}.0", node="node1",
                             exit_code=0, started=1.0, ended=2.0, wall_seconds=1.0, cpu_seconds=1.0)
        with acting(node.identity):
            await machine.accounting.record([sign(msgspec.msgpack.encode(record), node, purpose=USAGE_PURPOSE)])
        print("used", vo, flush=True)
        if i % 2:
            with acting(machine.identity):
                await machine.xvoms.dissolve_vo(vo)
            print("dissolved", vo, flush=True)
asyncio.run(main())
"""


@pytest.mark.timeout(90)
@pytest.mark.parametrize("lines", [4, 9, 15])
async def test_imports_policies_usage_and_dissolutions_are_whole_after_a_kill(tmp_path: Path, lines: int) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "tests_vom_conftest.py").symlink_to(Path(__file__).with_name("conftest.py"))
    (library / "support").symlink_to(Path(__file__).parents[1] / "support")
    printed = _killed_after(lines, NEWER.format(tests=str(library), directory=str(tmp_path / "core")))
    done = {what: [vo for word, vo in printed if word == what] for what in ("imported", "policy", "used", "dissolved")}
    machine = await founded(tmp_path / "core")
    await machine.start()
    with acting(machine.identity):
        there = {vo.name for vo in await machine.xvoms.list_vos()}
        archived = {archive.vo for archive in await machine.xvoms.list_archives()}
        assert set(done["dissolved"]) <= archived
        assert not archived & there
        for vo in there:  # all of an import or none of it
            users = await machine.xvoms.list_users(vo)
            assert len(users) in ((30,) if vo in done["imported"] else (0, 30))
        for vo in set(done["policy"]) & there:
            assert "p" in {policy.name for policy in await machine.vops.policies(vo)}
        links = await machine.audit.links(Log.USAGE)
    assert len(links) >= len(done["used"])
    assert list(chains.check(Log.USAGE, links, [])) == []
    await machine.stop()


async def test_the_founded_core_machine_is_a_core_with_its_addresses(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    assert machine.identity.roles == ("core",)
    assert b"\x7f\x00\x00\x01" in machine.hosts["CDA"].credential.certificate
    again = await founded(tmp_path)
    assert parse_identity(again.hosts["CDA"].credential.certificate).serial != machine.identity.serial


async def test_a_suspension_takes_effect_although_its_caller_goes_away(machine: CoreMachine) -> None:
    await machine.add("alice")
    seen = set()
    for turns in range(40):
        alice = await machine.get("alice")
        suspending = asyncio.create_task(machine.suspend("alice"))
        for _ in range(turns):
            await asyncio.sleep(0)
        suspending.cancel()
        await asyncio.gather(suspending, return_exceptions=True)
        await asyncio.gather(*machine.hosts["XVOMS"].tasks)
        suspended = await machine.core.store.read(lambda connection: members.find_member(connection, "demo", "alice"))
        assert suspended is not None
        seen.add(suspended.user.state is UserState.SUSPENDED)
        if suspended.user.state is UserState.SUSPENDED:
            with pytest.raises(CertificateRevoked):
                machine.trust.identify(alice.certificate)
            with acting(machine.identity):
                await machine.xvoms.set_user_state("demo", "alice", UserState.ACTIVE)
    assert seen == {True, False}


async def test_what_goes_wrong_while_the_caller_waits_is_the_callers_error(machine: CoreMachine) -> None:
    async def fail() -> None:
        raise UnknownUser(vo="demo", user="nobody")

    with pytest.raises(UnknownUser):
        await sharing.to_the_end(machine.hosts["XVOMS"], fail(), name="fail")


async def test_a_crl_that_cannot_be_renewed_is_tried_again(
    machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: asyncio.Queue[CrlPublished] = asyncio.Queue()
    refused: list[str] = []
    before, write = machine.core.crl.number, machine.core.store.write

    async def full_at_first(fn: Callable[[sa.Connection], Any]) -> Any:
        if len(refused) < 3:
            refused.append("full")
            raise StorageFull(path="vom.sqlite")
        return await write(fn)

    machine.core.announce = published.put_nowait
    monkeypatch.setattr(cores, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(machine.core.store, "write", full_at_first)
    with pytest.raises(StorageFull):
        await machine.core.publish_crl()
    async with asyncio.timeout(10):
        assert (await published.get()).number > before
    assert len(refused) == 3


async def test_a_crl_is_renewed_at_half_its_lifetime(machine: CoreMachine) -> None:
    published: asyncio.Queue[CrlPublished] = asyncio.Queue()
    before = machine.core.crl.number
    machine.core.announce = published.put_nowait
    machine.core.settings = msgspec.structs.replace(machine.core.settings, crl_hours=0.5 / 3600)
    keeping = asyncio.create_task(machine.core.keep_fresh())
    async with asyncio.timeout(10):
        numbers = [(await published.get()).number for _ in range(2)]
    keeping.cancel()
    assert before < numbers[0] < numbers[1]
