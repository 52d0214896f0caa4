# SPDX-License-Identifier: BSD-3-Clause
"""The Directory Service of XtreemFS in a real daemon: who may say what, what is kept, who is suspect."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator

import pytest

from support.daemons import Node, eventually, nodes
from support.dixi import Grid, make_grid
from xos.common.certificate import make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential
from xos.dixi.blocking import BlockingBus
from xos.dixi.client import ClientConfig, ClientDirectory
from xos.dixi.errors import NotAllowed
from xos.xtreemfs.api import ServiceRecord, Status, VolumeRecord
from xos.xtreemfs.errors import Refused
from xos.xtreemfs.xati import DIRXati

HOME = VolumeRecord("home", "1" * 32, ("core",))


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


@pytest.fixture
def core(grid: Grid) -> Iterator[Node]:
    settings = "[services.DIR.settings]\nsuspect_seconds = 2.0\n"
    with nodes(Node(grid, "core", f"[services.Directory]\n[services.DIR]\n{settings}")) as (node,):
        yield node


def osd(node: str, **fields: object) -> ServiceRecord:
    return ServiceRecord("OSD", node, **{"total": 100, "free": 50, **fields})  # type: ignore[arg-type]


@pytest.fixture
def as_core(grid: Grid, core: Node) -> Iterator[DIRXati]:
    with _bus(grid, core, grid.make_machine("core", role="core")) as bus:
        yield DIRXati(bus)


@pytest.fixture
def as_node(grid: Grid, core: Node) -> Iterator[DIRXati]:
    with _bus(grid, core, grid.make_machine("node1")) as bus:
        yield DIRXati(bus)


@pytest.fixture
def as_alice(grid: Grid, core: Node) -> Iterator[DIRXati]:
    with _bus(grid, core, grid.user) as bus:
        yield DIRXati(bus)


def _bus(grid: Grid, core: Node, who: Credential) -> BlockingBus:
    return BlockingBus(ClientConfig(directory=ClientDirectory(address=core.address)), grid.trust, who)


def test_users_see_services_and_volumes(as_core: DIRXati, as_node: DIRXati, as_alice: DIRXati) -> None:
    began = time.time_ns()
    as_core.register(ServiceRecord("MRC", "core"), [HOME])
    heard = as_node.register(osd("node1", load=0.5, attributes=(("site", "rennes"),)), [])
    assert began < heard < as_alice.now() < time.time_ns()
    assert as_alice.services("OSD") == [osd("node1", load=0.5, attributes=(("site", "rennes"),), heard=heard)]
    assert [one.kind for one in as_alice.services("")] == ["MRC", "OSD"]
    assert as_alice.volumes() == [HOME] == [as_alice.volume("home")]
    with pytest.raises(Refused) as refused:
        as_alice.volume("elsewhere")
    assert refused.value.data["errno"] == errno.ENOENT
    with pytest.raises(NotAllowed):
        as_alice.register(osd("alice"), [])


def test_a_volume_that_its_mrc_names_no_longer_is_gone_and_another_mrc_may_not_take_its_name(
    as_core: DIRXati, as_node: DIRXati, grid: Grid, core: Node
) -> None:
    as_core.register(ServiceRecord("MRC", "core"), [HOME, VolumeRecord("data", "2" * 32, ("core",))])
    with _bus(grid, core, grid.make_machine("core2", role="core")) as bus:
        thief = DIRXati(bus)
        with pytest.raises(Refused) as refused:
            thief.register(ServiceRecord("MRC", "core2"), [VolumeRecord("home", "3" * 32, ("core2",))])
        assert refused.value.data["errno"] == errno.EEXIST
        assert "served by core" in refused.value.message
    as_core.register(ServiceRecord("MRC", "core"), [HOME])
    assert as_node.volumes() == [HOME]


@pytest.mark.parametrize(
    ("record", "volumes", "why"),
    [
        (osd("node2"), [], errno.EPERM),  # another's name
        (ServiceRecord("MRC", "node1"), [], errno.EPERM),  # no machine that signs for files
        (ServiceRecord("DIR", "node1"), [], errno.EINVAL),
        (osd("node1", free=-1), [], errno.EINVAL),
        (osd("node1", load=float("nan")), [], errno.EINVAL),
        (osd("node1", attributes=(("x", "y" * 300),)), [], errno.EINVAL),
        (osd("node1"), [HOME], errno.EINVAL),
    ],
)
def test_a_machine_speaks_for_itself_and_makes_sense(
    as_node: DIRXati, record: ServiceRecord, volumes: list[VolumeRecord], why: int
) -> None:
    with pytest.raises(Refused) as refused:
        as_node.register(record, volumes)
    assert refused.value.data["errno"] == why
    assert as_node.services("") == []


@pytest.mark.parametrize("name", ["", "../etc", "a" * 65, "a\0b", "ü"])
def test_names_of_volumes_are_plain(as_core: DIRXati, name: str) -> None:
    with pytest.raises(Refused):
        as_core.register(ServiceRecord("MRC", "core"), [VolumeRecord(name, "1" * 32, ("core",))])


def test_administrators_say_what_is_wanted_of_an_osd(
    as_core: DIRXati, as_node: DIRXati, as_alice: DIRXati, grid: Grid, core: Node
) -> None:
    as_node.register(osd("node1"), [])
    with pytest.raises(Refused):
        as_alice.set_status("node1", Status.DRAINING)
    with _bus(grid, core, grid.make_machine("node2")) as bus, pytest.raises(Refused):
        DIRXati(bus).set_status("node1", Status.DRAINING)
    with pytest.raises(Refused) as refused:
        as_core.set_status("node9", Status.DRAINING)
    assert refused.value.data["errno"] == errno.ENOENT
    assert as_core.set_status("node1", Status.DRAINING).status is Status.DRAINING
    as_node.register(osd("node1"), [])  # a heartbeat changes nothing of that
    assert as_alice.services("OSD")[0].status is Status.DRAINING
    assert as_node.set_status("node1", Status.ONLINE).status is Status.ONLINE  # its own root


@pytest.mark.parametrize(
    ("vos", "roles", "may"),
    [
        (("demo",), ("VOManager",), True),
        (("demo",), ("ResourceAdmin",), True),
        (("demo",), ("VOAdmin",), True),
        (("demo",), (), False),
        (("demo",), ("core",), False),  # what a machine may, no user may by a role of that name
        (("demo", "physics"), ("VOManager",), False),
        ((), ("VOManager",), False),
        (("physics",), ("VOManager",), False),
    ],
)
def test_who_administers_a_vo_drains_machines_that_serve_no_other(
    grid: Grid, core: Node, vos: tuple[str, ...], roles: tuple[str, ...], may: bool
) -> None:
    key = make_key()
    machine = grid.ca.issue_machine(make_csr(key, "node1"), "node1", ("resource",), ["127.0.0.1"], 3600, vos=vos)
    with _bus(grid, core, Credential(machine, key)) as bus:
        DIRXati(bus).register(osd("node1"), [])
    identity = Identity(Kind.USER, "node1", "demo", "users", roles=roles)
    user = grid.ca.issue_user(make_csr(key, "node1"), identity, 3600)
    with _bus(grid, core, Credential(user, key)) as bus:
        with contextlib.nullcontext() if may else pytest.raises(Refused):
            DIRXati(bus).set_status("node1", Status.DRAINING)
        assert (DIRXati(bus).services("OSD")[0].status is Status.DRAINING) == may


def test_a_service_that_is_silent_is_suspect_until_it_is_heard(as_node: DIRXati) -> None:
    as_node.register(osd("node1"), [])
    assert not as_node.services("OSD")[0].suspect
    for _ in eventually():
        if as_node.services("OSD")[0].suspect:
            break
    as_node.register(osd("node1"), [])
    assert not as_node.services("OSD")[0].suspect


def test_whoever_cannot_reach_a_service_makes_the_dir_ask_it(as_node: DIRXati, as_alice: DIRXati) -> None:
    as_node.register(osd("node1"), [])  # but there is no such daemon
    as_alice.suspect("OSD", "node1")
    as_alice.suspect("OSD", "nobody")
    for _ in eventually(1.5):  # sooner than by its silence
        if as_node.services("OSD")[0].suspect:
            break


def test_what_was_registered_survives_kill_9_and_nobody_is_suspect_at_once(
    core: Node, as_core: DIRXati, as_node: DIRXati
) -> None:
    as_core.register(ServiceRecord("MRC", "core"), [HOME])
    as_node.register(osd("node1"), [])
    as_core.set_status("node1", Status.REMOVED)
    core.kill()
    core.start()
    (kept,) = as_node.services("OSD")
    assert kept.status is Status.REMOVED
    assert not kept.suspect
    assert as_node.volume("home") == HOME
