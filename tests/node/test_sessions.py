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
from xos.node.errors import StateBroken
from xos.node.sessions import Sessions

WHERE = ("sshd", "pts/1", "10.0.0.1", "boot")


@pytest.fixture
def sessions(state: Path) -> Iterator[Sessions]:
    made = Sessions(state)
    yield made
    made.close()


def test_a_session_is_open_until_it_is_closed_once(sessions: Sessions) -> None:
    sessions.opened("a", 70_000, *WHERE)
    sessions.opened("b", 70_000, *WHERE)
    assert sessions.uids("boot") == {70_000}
    assert sessions.uids("another boot") == set()
    assert sessions.closed("a") == 70_000
    assert sessions.closed("a") is None
    assert sessions.closed("no such") is None
    assert sessions.uids("boot") == {70_000}
    sessions.closed("b")
    assert sessions.uids("boot") == set()


def test_records_are_forgotten_when_they_are_old(sessions: Sessions) -> None:
    sessions.opened("a", 70_000, *WHERE)
    sessions.forget(1)
    assert sessions.uids("boot") == {70_000}
    sessions.forget(2**40)
    assert sessions.uids("boot") == set()


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
        rows = dict(db.execute("SELECT id, closed FROM sessions").fetchall())
    assert rows.keys() == {each["session"] for each in told}
    assert [session for session, closed in rows.items() if closed] == [told[0]["session"]]


def test_a_damaged_file_is_put_aside_and_logins_go_on(state: Path) -> None:
    (state / "sessions.sqlite").write_bytes(os.urandom(8192))
    made = Sessions(state)
    made.opened("a", 70_000, *WHERE)
    assert made.uids("boot") == {70_000}
    made.close()
    (aside,) = state.glob("sessions.broken-*")
    assert aside.stat().st_size == 8192


def test_a_full_disk_is_told_as_such(sessions: Sessions) -> None:
    (pages,) = sessions._db.execute("PRAGMA page_count").fetchone()
    sessions._db.execute(f"PRAGMA max_page_count={pages}")

    def fill() -> None:
        for n in range(1000):
            sessions.opened(str(n), 70_000, "x" * 64, "y" * 64, "z" * 255, "boot")

    with pytest.raises(StorageFull):
        fill()
    sessions._db.close()
    with pytest.raises(StateBroken):
        sessions.opened("a", 70_000, *WHERE)


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
    sessions.opened("a", 70_000, *WHERE)
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    assert synced == [sessions.path.with_name("sessions.sqlite-wal").stat().st_ino]
