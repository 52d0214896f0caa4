# SPDX-License-Identifier: BSD-3-Clause
"""The record of logins: written before the answer, whatever becomes of the daemon."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.amsd import Amsd
from support.node import Va, identity
from xos.common.errors import StorageFull
from xos.node.api import Account
from xos.node.errors import StateBroken
from xos.node.sessions import MOST, Sessions

WHERE = ("sshd", "pts/1", "10.0.0.1")
ALICE = Account(uid=70_000, name="alice.demo", vo="demo", owner="alice")
BOB = Account(uid=70_001, name="bob.demo", vo="demo", owner="bob")


@pytest.fixture
def sessions(state: Path) -> Iterator[Sessions]:
    made = Sessions(state)
    yield made
    made.close()


def test_a_session_is_open_until_it_is_closed_once(sessions: Sessions) -> None:
    sessions.opened("a", ALICE, *WHERE)
    sessions.opened("b", ALICE, *WHERE)
    assert [each.open for each in sessions.latest()] == [True, True]
    assert sessions.closed("a") == 70_000
    assert sessions.closed("a") is None
    assert sessions.closed("no such") is None
    later, first = sessions.latest()
    assert (later.open, later.closed) == (True, None)
    assert not first.open
    assert first.closed is not None


def test_what_went_on_when_the_machine_went_down_does_so_no_more(sessions: Sessions) -> None:
    sessions.opened("a", ALICE, *WHERE)
    sessions._boot = "another"
    (login,) = sessions.latest()
    assert (login.open, login.closed) == (False, None)


def test_logins_are_listed_by_account_and_in_parts(sessions: Sessions) -> None:
    for n in range(MOST + 3):
        sessions.opened(str(n), ALICE, *WHERE)
    sessions.opened("bob's", BOB, *WHERE)
    assert [each.name for each in sessions.latest(name="bob.demo")] == ["bob.demo"]
    first = sessions.latest(name="alice.demo")
    rest = sessions.latest(name="alice.demo", before=first[-1].number)
    assert (len(first), len(rest)) == (MOST, 3)
    assert rest[0].number < first[-1].number
    assert sessions.latest(name="' OR ''='") == []


def test_records_are_forgotten_when_they_are_old(sessions: Sessions) -> None:
    sessions.opened("a", ALICE, *WHERE)
    sessions.forget(1)
    assert len(sessions.latest()) == 1
    sessions.forget(2**40)
    assert sessions.latest() == []


def test_what_was_answered_is_on_record_after_kill_9(tmp_path: Path, va: Va) -> None:
    daemon = Amsd(tmp_path, va.directory)
    try:
        daemon.start()
        ask = {"op": "open", "service": "login", "user": "alice.demo", "certificate": va.xos(identity("alice"))}
        told = [daemon.ask(**ask) for _ in range(3)]
        daemon.end(9)
        daemon.start()
        daemon.ask(op="close", session=told[0]["session"])
        daemon.end()
    finally:
        daemon.kill()
    with sqlite3.connect(daemon.state / "sessions.sqlite") as db:
        rows = dict(db.execute("SELECT id, closed FROM logins").fetchall())
    assert rows.keys() == {each["session"] for each in told}
    assert [session for session, closed in rows.items() if closed] == [told[0]["session"]]


def test_a_damaged_file_is_put_aside_and_logins_go_on(state: Path) -> None:
    (state / "sessions.sqlite").write_bytes(os.urandom(8192))
    made = Sessions(state)
    made.opened("a", ALICE, *WHERE)
    assert len(made.latest()) == 1
    made.close()
    (aside,) = state.glob("sessions.broken-*")
    assert aside.stat().st_size == 8192


def test_a_full_disk_is_told_as_such(sessions: Sessions) -> None:
    (pages,) = sessions._db.execute("PRAGMA page_count").fetchone()
    sessions._db.execute(f"PRAGMA max_page_count={pages}")

    def fill() -> None:
        for n in range(1000):
            sessions.opened(str(n), ALICE, "x" * 64, "y" * 64, "z" * 255)

    with pytest.raises(StorageFull):
        fill()
    sessions._db.close()
    with pytest.raises(StateBroken):
        sessions.opened("a", ALICE, *WHERE)


async def test_what_was_written_is_synced_soon(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        synced.append(os.fstat(fd).st_ino)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    task = asyncio.create_task(sessions.run())
    sessions.opened("a", ALICE, *WHERE)
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    assert synced == [sessions.path.with_name("sessions.sqlite-wal").stat().st_ino]
