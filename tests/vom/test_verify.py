# SPDX-License-Identifier: BSD-3-Clause
"""`xos-audit verify --directory`: changes made directly in the database file are found, whoever made them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from xos.common.signing import Signed, sign
from xos.common.tls import Credential
from xos.vom.api import USAGE_PURPOSE, Log, UsageRecord
from xos.vom.records import trail
from xos.vom.records.heads import head_file, sign_head
from xos.vom.records.verification import verify_directory

from .conftest import CoreMachine, acting, founded

COUNT = 20
Change = Callable[[sqlite3.Connection], object]


@pytest.fixture
async def written(tmp_path: Path) -> CoreMachine:
    """A core that has kept twenty acts and twenty usage records, and stopped."""
    machine = await founded(tmp_path)
    await machine.start()
    node = await machine.join("node1")
    for number in range(COUNT):
        note = trail.noting(machine.core.now(), "tested", who="core", vo="demo", target=str(number))
        await machine.core.store.write(note)
    with acting(node.identity):
        await machine.accounting.record([_record(number, node) for number in range(COUNT)])
    await machine.stop()
    return machine


def _record(number: int, node: Credential) -> Signed:
    now = time.time()
    unit = f"demo-{number}.0"
    record = UsageRecord(
        f"node1:{unit}", "demo", "alice", "users", f"demo-{number}", unit, node="node1", started=now - 5, ended=now - 1
    )
    return sign(msgspec.msgpack.encode(record), node, purpose=USAGE_PURPOSE)


def edit(machine: CoreMachine, change: Change) -> None:
    connection = sqlite3.connect(machine.directory / "vom" / "vom.sqlite")
    with connection:
        change(connection)
    connection.close()


def faults(machine: CoreMachine, log: Log) -> list[tuple[int, str]]:
    _, heads, found = verify_directory(machine.directory / "vom", log)
    assert heads == 1
    return [(fault.number, fault.detail) for fault in found]


@pytest.mark.parametrize("log", list(Log))
def test_what_nobody_touched_has_no_fault(written: CoreMachine, log: Log) -> None:
    count, heads, found = verify_directory(written.directory / "vom", log)
    assert (heads, found) == (1, [])
    assert count >= COUNT


def flip(log: Log) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        found = connection.execute("select payload from chain where log = ? and number = 7", (log.value,))
        (payload,) = found.fetchone()
        flipped = bytes([*payload[:-1], payload[-1] ^ 1])
        connection.execute("update chain set payload = ? where log = ? and number = 7", (flipped, log.value))

    return change


def swap(log: Log) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        for old, new in ((7, -1), (8, 7), (-1, 8)):
            connection.execute("update chain set number = ? where log = ? and number = ?", (new, log.value, old))

    return change


def remove(log: Log) -> Change:
    return lambda connection: connection.execute("delete from chain where log = ? and number = 7", (log.value,))


@pytest.mark.parametrize("log", list(Log))
@pytest.mark.parametrize(("how", "where"), [(flip, {7}), (swap, {7, 8}), (remove, {8})])
def test_a_flipped_bit_a_swapped_pair_and_a_removed_entry_are_found(
    written: CoreMachine, log: Log, how: Callable[[Log], Change], where: set[int]
) -> None:
    edit(written, how(log))
    assert {number for number, _ in faults(written, log)} & {7, 8} >= where


@pytest.mark.parametrize("log", list(Log))
def test_an_end_that_was_cut_off_everywhere_is_found_by_the_signed_head(written: CoreMachine, log: Log) -> None:
    table = {Log.AUDIT: "acts", Log.USAGE: "usage"}[log]

    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("delete from chain where log = ? and number > 15", (log.value,))
        connection.execute(f"delete from {table} where number > 15")  # noqa: S608 -- one of two words

    edit(written, cut)
    ((number, detail),) = faults(written, log)
    assert number == 15
    assert "cut off" in detail


def test_sums_that_were_changed_beside_the_chain_are_found(written: CoreMachine) -> None:
    edit(written, lambda connection: connection.execute("update usage set cpu = 99 where number = 3"))
    assert faults(written, Log.USAGE) == [(3, "the table usage does not say what the chain says")]
    edit(written, lambda connection: connection.execute("update acts set who = 'mallory' where number = 4"))
    assert (4, "the table acts does not say what the chain says") in faults(written, Log.AUDIT)
    columns = 'vo, "user", "group", node, ended, day, failed, wall, cpu, processors, memory'
    add = f"insert into usage select 999, 'x', {columns}"
    edit(written, lambda connection: connection.execute(f"{add} from usage where number = 1"))
    assert (999, "the table usage has it, and the chain has not") in faults(written, Log.USAGE)


def test_a_record_that_no_node_signed_is_found_although_the_chain_was_made_anew(written: CoreMachine) -> None:
    from xos.vom.chains import link_digest

    def forge(connection: sqlite3.Connection) -> None:
        digest = bytes(32)
        for number, at, payload in connection.execute(
            "select number, at, payload from chain where log = 'usage' order by number"
        ).fetchall():
            kept = payload.replace(b"alice", b"malic") if number == 5 else payload
            digest = link_digest(digest, Log.USAGE, number, at, kept)
            connection.execute(
                "update chain set payload = ?, digest = ? where log = 'usage' and number = ?", (kept, digest, number)
            )

    edit(written, forge)
    found = faults(written, Log.USAGE)
    assert found[0][0] == 5
    assert "not to be believed" in found[0][1]
    assert any("written anew" in detail for _, detail in found)


async def test_a_head_that_somebody_else_signed_is_no_head(written: CoreMachine) -> None:
    file = head_file(written.directory / "vom", Log.USAGE)
    await written.start()
    mallory = await written.join("mallory")
    head = await written.audit.head(Log.USAGE)
    await written.stop()
    file.write_bytes(msgspec.msgpack.encode(sign_head(head, mallory)))
    _, heads, found = verify_directory(written.directory / "vom", Log.USAGE)
    assert heads == 0
    assert "mallory has signed it" in found[0].detail
