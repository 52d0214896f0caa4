# SPDX-License-Identifier: BSD-3-Clause
"""The database goes away in the middle of everything, and comes back: a real PostgreSQL server, stopped and started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509

from support.databases import Cluster, cluster, empty_database
from xos.common import storage
from xos.common.errors import StorageError, XosError
from xos.vom import core as cores
from xos.vom.api import CrlPublished, Log

from .conftest import PASSWORD, CoreMachine, acting, founded
from .test_accounting import hand_in, record

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
async def machine(server: Cluster, tmp_path: Path) -> AsyncIterator[CoreMachine]:
    with empty_database(server.place) as url:
        core = await founded(tmp_path, url)
        await core.start()
        yield core
        await core.stop()


async def test_calls_fail_with_a_clear_code_meanwhile_and_nothing_acknowledged_is_lost(
    machine: CoreMachine, server: Cluster
) -> None:
    await machine.add("alice")
    alice, node = await machine.get("alice"), await machine.join("node1")
    kept: list[str] = []
    counted: list[str] = []
    codes: set[str] = set()
    acknowledged: asyncio.Queue[str] = asyncio.Queue()
    going_on = True

    async def add_users(lane: int) -> None:
        number = 0
        while going_on:
            name = f"u{lane}-{number}"
            number += 1
            try:
                with acting(machine.identity):
                    await machine.xvoms.add_user("demo", name, PASSWORD)
                kept.append(name)
                acknowledged.put_nowait(name)
            except XosError as error:
                codes.add(error.code)
                await asyncio.sleep(0.02)

    async def account() -> None:
        number = 0
        while going_on:
            number += 1
            try:
                await hand_in(machine, node, record(number))
                counted.append(f"node1:demo-job{number}.0")
                acknowledged.put_nowait(counted[-1])
            except XosError as error:
                codes.add(error.code)
                await asyncio.sleep(0.02)

    lanes = [asyncio.create_task(add_users(lane)) for lane in range(4)] + [asyncio.create_task(account())]
    async with asyncio.timeout(20):
        for _ in range(25):
            await acknowledged.get()
    await asyncio.to_thread(server.stop)
    with pytest.raises(StorageError) as told, acting(machine.identity):
        await machine.xvoms.list_users("demo")
    assert told.value.http_status >= 500
    with pytest.raises(StorageError):
        await machine.renew(alice)
    while not acknowledged.empty():
        acknowledged.get_nowait()
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(20):
        for _ in range(10):
            await acknowledged.get()
    going_on = False
    await asyncio.gather(*lanes)
    with acting(machine.identity):
        there = {user.name for user in await machine.xvoms.list_users("demo", limit=1000)}
        records = {one.record_id for _, one in await machine.accounting.records("demo")}
        entries = await machine.audit.links(Log.USAGE)
    assert set(kept) <= there
    assert set(counted) <= records
    assert len(entries) == len(records)
    assert codes
    assert all(code.startswith("storage.") for code in codes), codes
    assert (await machine.renew(alice)).certificate


async def test_a_suspension_that_was_cut_off_takes_effect_once_the_database_is_back(
    machine: CoreMachine, server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "RETRY_SECONDS", 0.05)
    await machine.add("alice")
    alice = await machine.get("alice")
    write, cut = machine.core.store.write, False

    async def stop_after_the_first(fn: Callable[[sa.Connection], Any]) -> Any:
        nonlocal cut
        done = await write(fn)
        if not cut:
            cut = True
            await asyncio.to_thread(server.stop)
        return done

    monkeypatch.setattr(machine.core.store, "write", stop_after_the_first)
    with pytest.raises(StorageError):
        await machine.suspend("alice")
    published: asyncio.Queue[CrlPublished] = asyncio.Queue()
    machine.core.announce = published.put_nowait
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(20):
        crl = x509.load_der_x509_crl((await published.get()).crl)
    assert crl.get_revoked_certificate_by_serial_number(alice.identity.serial) is not None


async def test_a_core_whose_database_is_away_does_not_start_and_does_once_it_is_back(
    server: Cluster, tmp_path: Path
) -> None:
    with empty_database(server.place) as url:
        core = await founded(tmp_path, url)
        await asyncio.to_thread(server.stop)
        with pytest.raises(StorageError):
            await core.start()
        await asyncio.to_thread(server.start)
        again = await _started(tmp_path, core)
        await again.add("alice")
        await again.stop()


async def test_after_a_pause_in_which_the_server_was_restarted_nobody_sees_an_error(
    machine: CoreMachine, server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.add("alice")
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    monkeypatch.setattr(storage, "_IDLE_SECONDS", 0.0)
    await machine.add("bob")
    with acting(machine.identity):
        assert {user.name for user in await machine.xvoms.list_users("demo")} == {"alice", "bob"}


async def _started(directory: Path, founded_before: CoreMachine) -> CoreMachine:
    credential = founded_before.hosts["CDA"].credential
    core = CoreMachine(directory, credential, founded_before.trust)
    await core.start()
    return core
