# SPDX-License-Identifier: BSD-3-Clause
"""Machines: approval, certified attributes, VOs of their own, withdrawal; the client on each node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.memory import MemoryBus
from xos.common.certificate import CertificateRevoked, make_csr, make_key
from xos.common.identity import ANONYMOUS, Identity, Kind
from xos.common.tls import Credential
from xos.vom.api import Issued, Resource, ResourceAttributes, ResourceState
from xos.vom.errors import (
    BadName,
    BadRequest,
    ChangedMeanwhile,
    Forbidden,
    MachineKnown,
    TokenForeign,
    TooManyRequests,
    UnknownMachine,
    Withdrawn,
)
from xos.vom.rca_client import RcaClientService, certified, measure, reason
from xos.vom.rca_client import Settings as ClientSettings

from .conftest import CoreHost, CoreMachine, acting

BIG = ResourceAttributes(64, 256 << 30, "x86_64", "rennes", "pc")


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """Every test here runs on SQLite and on PostgreSQL."""
    return either_machine


async def joined(
    machine: CoreMachine, node: str, vo: str = "", attributes: ResourceAttributes | None = None
) -> Credential:
    """A machine that has joined by a token of the core's."""
    with acting(machine.identity):
        token = await machine.rca.create_token(node, vo=vo)
    key = make_key()
    with acting(ANONYMOUS):
        issued = await machine.rca.join(token.token, node, make_csr(key, node), attributes)
    return Credential(issued.certificate, key)


async def renewed(machine: CoreMachine, shown: Credential, attributes: ResourceAttributes | None = None) -> Credential:
    with acting(machine.trust.identify(shown.certificate)):
        issued = await machine.rca.renew(make_csr(shown.key, shown.identity.name), attributes)
    return Credential(issued.certificate, shown.key)


async def test_a_machine_asks_is_approved_by_fingerprint_and_gets_its_certificate(
    machine: CoreMachine,
) -> None:
    key = make_key()
    csr = make_csr(key, "node7")
    with acting(ANONYMOUS):
        first = await machine.rca.ask("node7", csr, ("192.0.2.7",), BIG)
        assert (first.state, first.issued) == (ResourceState.PENDING, None)
        with pytest.raises(MachineKnown):
            await machine.rca.ask("node7", make_csr(make_key(), "node7"))
    with acting(machine.identity):
        (waiting,) = await machine.rca.list_resources(state=ResourceState.PENDING)
        assert (waiting.node, waiting.attributes) == ("node7", BIG)
        with pytest.raises(BadRequest):
            await machine.rca.approve("node7", "00" * 32)
        approved = await machine.rca.approve("node7")
        assert (approved.state, approved.approved_by) == (ResourceState.ACTIVE, "core")
    with acting(ANONYMOUS):
        done = await machine.rca.ask("node7", csr)
        again = await machine.rca.ask("node7", csr)
    assert done.issued is not None
    assert again == done
    who = machine.trust.identify(done.issued.certificate, kind=Kind.MACHINE)
    assert (who.name, who.roles, who.vos) == ("node7", ("resource",), ())
    assert certified(done.issued.certificate) == BIG


async def test_who_is_refused_leaves_the_name_free(machine: CoreMachine) -> None:
    with acting(ANONYMOUS):
        await machine.rca.ask("node7", make_csr(make_key(), "node7"))
    with acting(machine.identity):
        assert (await machine.rca.withdraw("node7")).state is ResourceState.WITHDRAWN
        assert [one.node for one in await machine.rca.list_resources()] == ["core"]
    with acting(ANONYMOUS):
        await machine.rca.ask("node7", make_csr(make_key(), "node7"))


async def test_the_queue_has_an_end(machine: CoreMachine) -> None:
    machine.rca.settings = type(machine.rca.settings)(most_pending=2)
    with acting(ANONYMOUS):
        for node in ("node1", "node2"):
            await machine.rca.ask(node, make_csr(make_key(), node))
        with pytest.raises(TooManyRequests):
            await machine.rca.ask("node3", make_csr(make_key(), "node3"))


async def test_what_a_machine_measures_is_certified_until_a_person_says_otherwise(machine: CoreMachine) -> None:
    node = await joined(machine, "node1", attributes=ResourceAttributes(4, 8 << 30, "x86_64", "rennes", "pc"))
    more = await renewed(machine, node, ResourceAttributes(8, 16 << 30, "x86_64"))
    assert certified(more.certificate) == ResourceAttributes(8, 16 << 30, "x86_64", "rennes", "pc")
    with acting(machine.identity):
        resource = await machine.rca.resource_info("node1")
        told = await machine.rca.set_attributes("node1", BIG, resource.version)
        with pytest.raises(ChangedMeanwhile):
            await machine.rca.set_attributes("node1", ResourceAttributes(), resource.version)
        assert told.attributes == BIG
    assert certified((await renewed(machine, more, ResourceAttributes(1, 1))).certificate) == BIG


async def test_a_vos_own_machine_is_let_in_by_its_resource_administrator_and_is_nothing_in_other_vos(
    machine: CoreMachine,
) -> None:
    await machine.add("rick", roles=("ResourceAdmin",))
    await machine.add("olga", vo="other")
    with acting((await machine.get("rick")).identity):
        token = await machine.rca.create_token("node1", vo="demo")
        for refused in (
            machine.rca.create_token("node2"),
            machine.rca.create_token("node2", vo="other"),
            machine.rca.approve("node1"),
            machine.rca.add_to_vo("core", "demo"),
            machine.rca.list_resources(),
        ):
            with pytest.raises(Forbidden):
                await refused
    key = make_key()
    with acting(ANONYMOUS):
        issued = await machine.rca.join(token.token, "node1", make_csr(key, "node1"))
    node = machine.trust.identify(issued.certificate)
    assert node.vos == ("demo",)
    with acting(node):
        assert [vo.name for vo in await machine.xvoms.list_vos()] == ["demo"]
        with pytest.raises(Forbidden):
            await machine.xvoms.vo_info("other")
    with acting((await machine.get("rick")).identity):
        assert "node1" in [one.node for one in await machine.rca.list_resources("demo")]
    with acting((await machine.get("olga", vo="other")).identity):
        assert "node1" not in [one.node for one in await machine.rca.list_resources("other")]
        with pytest.raises(Forbidden):
            await machine.rca.resource_info("node1")


async def test_a_vos_token_takes_over_no_machine_of_the_grid(machine: CoreMachine) -> None:
    await joined(machine, "node1")
    await machine.add("rick", roles=("ResourceAdmin",))
    with acting((await machine.get("rick")).identity):
        for node in ("node1", "core"):
            with pytest.raises(MachineKnown):
                await machine.rca.create_token(node, vo="demo")
        early = await machine.rca.create_token("node2", vo="demo")
    await joined(machine, "node2")  # the core was faster
    with acting(ANONYMOUS), pytest.raises(MachineKnown):
        await machine.rca.join(early.token, "node2", make_csr(make_key(), "node2"))


async def test_a_machine_without_a_vo_left_is_withdrawn_and_does_not_serve_all(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("olga", vo="other")
    node = await joined(machine, "node1", vo="demo")
    with acting(machine.identity):
        await machine.rca.add_to_vo("node1", "other")
        kept = await machine.rca.remove_from_vo("node1", "other")
        assert (kept.state, kept.vos) == (ResourceState.ACTIVE, ("demo",))
    machine.trust.identify(node.certificate)
    with acting(machine.identity):
        await machine.xvoms.dissolve_vo("demo")
        assert (await machine.rca.resource_info("node1")).state is ResourceState.WITHDRAWN
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(node.certificate)


async def test_a_withdrawn_machine_gets_nothing_until_a_new_token_lets_it_in(machine: CoreMachine) -> None:
    node = await joined(machine, "node1")
    shown = machine.trust.identify(node.certificate)
    with acting(machine.identity):
        for _ in range(2):
            assert (await machine.rca.withdraw("node1")).state is ResourceState.WITHDRAWN
        with pytest.raises(BadRequest):
            await machine.rca.withdraw("core")
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(node.certificate)
    with acting(shown):
        with pytest.raises(Withdrawn):
            await machine.rca.renew(make_csr(node.key, "node1"))
        with pytest.raises(Withdrawn):
            await machine.rca.myself()
    machine.trust.identify((await joined(machine, "node1")).certificate)


async def test_machines_are_listed_in_pages(machine: CoreMachine) -> None:
    for i in range(7):
        with acting(ANONYMOUS):
            await machine.rca.ask(f"node{i}", make_csr(make_key(), f"node{i}"))
    with acting(machine.identity):
        seen = await machine.rca.list_resources(limit=3)
        while page := await machine.rca.list_resources(after=seen[-1].node, limit=3):
            seen += page
    assert [one.node for one in seen] == ["core", *(f"node{i}" for i in range(7))]


BAD: dict[str, tuple[Any, type[Exception]]] = {
    "a site with HTML": (lambda m: m.rca.set_attributes("core", ResourceAttributes(site="<b>")), BadName),
    "negative memory": (lambda m: m.rca.set_attributes("core", ResourceAttributes(memory=-1)), BadRequest),
    "a million million cores": (lambda m: m.rca.set_attributes("core", ResourceAttributes(cores=10**12)), BadRequest),
    "10 kB flavour": (lambda m: m.rca.set_attributes("core", ResourceAttributes(flavour="x" * 10_000)), BadName),
    "a node with SQL": (lambda m: m.rca.approve("x'; drop table machines; --"), BadName),
    "a node that never was": (lambda m: m.rca.approve("node99"), UnknownMachine),
    "no rows": (lambda m: m.rca.list_resources(limit=0), BadRequest),
    "a token for another": (lambda m: _foreign(m), TokenForeign),
}


async def _foreign(machine: CoreMachine) -> Issued:
    token = await machine.rca.create_token("node1", vo="")
    return await machine.rca.join(token.token, "node2", make_csr(make_key(), "node2"))


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD.keys())
async def test_what_is_wrong_is_refused(machine: CoreMachine, call: Any, error: type[Exception]) -> None:
    with acting(machine.identity), pytest.raises(error):
        await call(machine)


# --- the client on each node -----------------------------------------------------------------------------------------


async def until(host: CoreHost, serial: int) -> Identity:
    """The node's identity once its certificate is another than that."""
    async with asyncio.timeout(15):
        while host.credential.identity.serial == serial:  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)
    return host.credential.identity


async def test_a_node_renews_by_itself_when_it_has_changed_when_its_vos_have_and_before_the_end(
    machine: CoreMachine, tmp_path: Path
) -> None:
    await machine.add("alice")
    node = await joined(machine, "node1")
    bus: Any = MemoryBus(machine.rca)
    host = CoreHost(node, machine.trust, tmp_path / "RCAClient", bus)
    client = RcaClientService(host, ClientSettings(seconds=0.01, site="rennes"))
    with acting(node.identity):
        await client.start()
        first = await until(host, node.identity.serial)
    try:
        assert certified(host.credential.certificate) == measure(ClientSettings(site="rennes"))
        with acting(machine.identity):
            await machine.rca.add_to_vo("node1", "demo")
        second = await until(host, first.serial)
        assert second.vos == ("demo",)
        assert (await client.certificate()).vos == ("demo",)
        assert host.credential.key == node.key
    finally:
        for task in host.tasks:
            task.cancel()
        await asyncio.gather(*host.tasks, return_exceptions=True)


async def test_a_node_that_was_withdrawn_says_so_and_goes_on_asking(machine: CoreMachine, tmp_path: Path) -> None:
    node = await joined(machine, "node1")
    with acting(machine.identity):
        await machine.rca.withdraw("node1")
    bus: Any = MemoryBus(machine.rca)
    host = CoreHost(node, machine.trust, tmp_path / "RCAClient", bus)
    client = RcaClientService(host, ClientSettings(seconds=0.01))
    with acting(node.identity):
        await client.start()
    async with asyncio.timeout(15):
        while len(bus.calls) < 3:  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)
    assert "taken out of the grid" in (await client.certificate()).problem
    (task,) = host.tasks
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


SHOWN = Identity(Kind.MACHINE, "node1", roles=("resource",), vos=("demo",), not_before=0, not_after=3000)
KNOWN = Resource("node1", roles=("resource",), vos=("demo",), attributes=BIG)


@pytest.mark.parametrize(
    ("known", "measures", "now", "why"),
    [
        (KNOWN, BIG, 1999, ""),
        (KNOWN, BIG, 2001, "it ends soon"),
        (Resource("node1", roles=("resource",), attributes=BIG), BIG, 0, "its VOs are others"),
        (Resource("node1", roles=("core",), vos=("demo",), attributes=BIG), BIG, 0, "its roles are others"),
        (KNOWN, ResourceAttributes(), 0, "its attributes are others"),
    ],
)
def test_why_a_certificate_is_renewed(known: Resource, measures: ResourceAttributes, now: float, why: str) -> None:
    assert reason(known, SHOWN, measures, now) == why
