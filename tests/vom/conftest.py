# SPDX-License-Identifier: BSD-3-Clause
"""A core machine without network: real store, real certificates, services called as whoever a test wants to be."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.databases import postgresql, postgresql_server
from xos.common.certificate import make_csr, make_key
from xos.common.identity import ANONYMOUS, Identity
from xos.common.tls import Credential, Trust
from xos.dixi import api as dixi
from xos.dixi.hosting import Bus, Hosted
from xos.vom.accounting import AccountingService
from xos.vom.accounting import Settings as AccountingSettings
from xos.vom.api import CertificateWish, Issued, UserState
from xos.vom.audit import AuditService
from xos.vom.audit import Settings as AuditSettings
from xos.vom.cda import CdaService
from xos.vom.cda import Settings as CdaSettings
from xos.vom.core import VomCore
from xos.vom.founding import found
from xos.vom.rca import RcaService
from xos.vom.rca import Settings as RcaSettings
from xos.vom.registration import RegistrationService
from xos.vom.registration import Settings as RegistrationSettings
from xos.vom.vops.service import Settings as VopsSettings
from xos.vom.vops.service import VopsService
from xos.vom.xvoms import Settings as XvomsSettings
from xos.vom.xvoms import XvomsService

__all__ = ["postgresql", "postgresql_server"]  # fixtures

CHEAP = "[password_cost]\npasses = 1\nmemory_kib = 8\n"
PASSWORD = "correct horse battery"


@contextlib.contextmanager
def acting(caller: Identity, address: str = "192.0.2.1") -> Iterator[None]:
    """Inside, services are called by *caller* from *address*."""
    token = dixi._current.set(dixi.CallContext(caller, "", "", None, None, address=address))
    try:
        yield
    finally:
        dixi._current.reset(token)


class Events:
    """The part of the bus that the services use: what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, msgspec.Struct]] = []

    def publish(self, topic: str, event: msgspec.Struct) -> None:
        self.published.append((topic, event))

    def caller(self, service: str, node: str | None = None) -> dixi.Caller:
        raise NotImplementedError(f"{service} at {node}")

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        raise NotImplementedError(topic)

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        raise NotImplementedError(topic)


class CoreHost:
    """`xos.dixi.hosting.Host` for one service."""

    def __init__(self, credential: Credential, trust: Trust, data: Path, bus: Events) -> None:
        self.node = credential.identity.name
        self.identity = credential.identity
        self.credential = credential
        self.trust = trust
        self.data = data
        self.bus: Bus = bus
        self.tasks: list[asyncio.Task[None]] = []

    async def renew(self, certificate: bytes) -> None:
        self.credential = Credential(certificate, self.credential.key)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.append(task)
        return task


class CoreMachine:
    """The services, each with a host of its own as in a daemon, over one directory."""

    def __init__(self, directory: Path, credential: Credential, trust: Trust) -> None:
        self.directory = directory
        self.trust = trust
        self.bus = Events()
        self.identity = credential.identity
        names = ("XVOMS", "CDA", "RCA", "Registration", "VOPS", "Accounting", "Audit")
        hosts = {name: CoreHost(credential, trust, directory / name, self.bus) for name in names}
        self.hosts = hosts
        self.xvoms = XvomsService(hosts["XVOMS"], XvomsSettings())
        self.cda = CdaService(hosts["CDA"], CdaSettings())
        self.rca = RcaService(hosts["RCA"], RcaSettings())
        self.registration = RegistrationService(hosts["Registration"], RegistrationSettings())
        self.accounting = AccountingService(hosts["Accounting"], AccountingSettings())
        self.audit = AuditService(hosts["Audit"], AuditSettings())
        self.vops = VopsService(hosts["VOPS"], VopsSettings())
        self.services: tuple[Hosted[Any], ...] = (
            self.xvoms,
            self.cda,
            self.rca,
            self.registration,
            self.vops,
            self.accounting,
            self.audit,
        )

    @property
    def core(self) -> VomCore:
        return self.cda.core

    async def start(self) -> None:
        for service in self.services:
            await service.start()

    async def stop(self) -> None:
        for host in self.hosts.values():
            for task in host.tasks:
                task.cancel()
            await asyncio.gather(*host.tasks, return_exceptions=True)
        for service in reversed(self.services):
            await service.stop()

    async def add(self, name: str, *, vo: str = "demo", **more: Any) -> None:
        """A member of *vo* (made if need be), with the tests' `PASSWORD`."""
        with acting(self.identity):
            await self.xvoms.create_vo(vo)
            await self.xvoms.add_user(vo, name, PASSWORD, **more)

    async def get(self, name: str, *, vo: str = "demo", **wish: Any) -> Credential:
        """A certificate by password, with its key."""
        key = make_key()
        wanted = CertificateWish(**{"vo": vo, "user": name, "csr": make_csr(key, name), "password": PASSWORD, **wish})
        with acting(ANONYMOUS):
            issued = await self.cda.issue(wanted)
        return Credential(issued.certificate, key)

    async def renew(self, shown: Credential, **wish: Any) -> Issued:
        """A certificate by showing another."""
        who = shown.identity
        csr = make_csr(make_key(), who.name)
        wanted = CertificateWish(**{"vo": who.vo, "user": who.name, "csr": csr, **wish})
        with acting(who):
            return await self.cda.issue(wanted)

    async def join(self, node: str) -> Credential:
        """A resource machine's certificate, with its key."""
        key = make_key()
        with acting(self.identity):
            token = await self.rca.create_token(node)
        with acting(ANONYMOUS):
            issued = await self.rca.join(token.token, node, make_csr(key, node))
        return Credential(issued.certificate, key)

    async def suspend(self, name: str, vo: str = "demo") -> None:
        with acting(self.identity):
            await self.xvoms.set_user_state(vo, name, UserState.SUSPENDED)


async def founded(directory: Path, database: str = "", *, more: str = "") -> CoreMachine:
    """A core machine in *directory*, not started; its database there too, or at a URL. *more*: for ``vom.toml``."""
    (directory / "vom").mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "vom" / "vom.toml").write_text((f'database = "{database}"\n' if database else "") + more + CHEAP)
    key = make_key()
    issued, crl = await found(directory / "vom", "core", make_csr(key, "core"), addresses=("127.0.0.1",))
    return CoreMachine(directory, Credential(issued.certificate, key), Trust([issued.ca], crl))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[CoreMachine]:
    """A started core machine."""
    core = await founded(tmp_path)
    await core.start()
    yield core
    await core.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
async def either_machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CoreMachine]:
    """A started core machine on each kind of database."""
    url = "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql"))
    core = await founded(tmp_path, url)
    await core.start()
    yield core
    await core.stop()


@pytest.fixture
def clock(machine: CoreMachine) -> Callable[[float], None]:
    """Moves the services' clock by so many seconds."""
    moved = 0.0

    def now() -> float:
        return time.time() + moved

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    machine.core.now = now
    return move
