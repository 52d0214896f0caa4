# SPDX-License-Identifier: BSD-3-Clause
"""A node believes only what the user signed, and nothing of what it refuses stays behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from support.jobs import People
from support.units import Node, shell, unit_order
from xos.aem.api import ORDER_PURPOSE, InputFile, JobOrder, State, UnitOrder
from xos.aem.errors import DoesNotFit, NoSlot, NotYourUnit, UnitRefused, UnknownUnit
from xos.aem.ids import job_id_of, unit_id_of
from xos.aem.jsdl import StagedFile, to_jsdl
from xos.common.errors import StorageFull
from xos.common.identity import Identity, Kind
from xos.common.signing import sign
from xos.common.tls import Credential, Trust

replace = msgspec.structs.replace


def traces(node: Node) -> list[str]:
    """What is on the node's disk of any unit."""
    dirs = node.execution._dirs
    return [path.name for parent in (dirs.live, dirs.ended, dirs.work) for path in parent.iterdir()]


def resigned(order: UnitOrder, user: Credential, **changes: object) -> UnitOrder:
    """The order with another payload under a good signature of *user*; the ids follow from it."""
    job = replace(msgspec.msgpack.decode(order.job.payload, type=JobOrder), **changes)
    signed = sign(msgspec.msgpack.encode(job), user, purpose=ORDER_PURPOSE)
    job_id = job_id_of(str(user.identity), job.vo, job.request_id)
    return replace(order, job=signed, job_id=job_id, unit_id=unit_id_of(job_id, order.index))


def other_units(order: UnitOrder, index: int, count: int) -> UnitOrder:
    return replace(order, index=index, count=count, unit_id=unit_id_of(order.job_id, index))


Change = Callable[[UnitOrder, Credential], UnitOrder]
CHANGES: dict[str, tuple[Change, str]] = {
    "another payload": (
        lambda o, _: replace(o, job=replace(o.job, payload=o.job.payload + b"x")),
        "signature of alice@demo does not fit",
    ),
    "another purpose": (
        lambda o, _: replace(o, job=replace(o.job, purpose="xos-delegation")),
        "signed for xos-delegation",
    ),
    "no certificate": (lambda o, _: replace(o, job=replace(o.job, certificate=b"junk")), "not a valid"),
    "not an order": (
        lambda o, u: replace(o, job=sign(b"\x93\x01\x02\x03", u, purpose=ORDER_PURPOSE)),
        "cannot be read",
    ),
    "another VO": (lambda o, u: resigned(o, u, vo="other"), "for VO 'other'"),
    "garbage for JSDL": (lambda o, u: resigned(o, u, jsdl=b"<nothing"), "signed"),
    "an environment name with =": (
        lambda o, u: resigned(o, u, jsdl=to_jsdl(shell("true", environment=(("A=B", "x"),)))),
        "is not the name of an environment variable",
    ),
    "a working directory elsewhere": (
        lambda o, u: resigned(o, u, jsdl=to_jsdl(shell("true", working_directory="../../other"))),
        "leads out of",
    ),
    "output over a file of the node's": (
        lambda o, u: resigned(o, u, jsdl=to_jsdl(shell("true", output="../../../units/x/exit"))),
        "leads out of the working directory",
    ),
    "a second job id": (
        lambda o, _: replace(o, job_id="demo-2222222222222222", unit_id="demo-2222222222222222.0"),
        "job id is not that of the signed order",
    ),
    "a unit too many": (lambda o, _: other_units(o, 1, 1), "unit 1 of 1"),
    "a negative unit": (lambda o, _: other_units(o, -1, 1), "unit -1 of 1"),
    "more units than signed": (lambda o, _: other_units(o, 1, 2), "2 units ordered, 1 signed"),
    "another unit's id": (lambda o, _: replace(o, unit_id=o.unit_id + "0"), "cannot have this id"),
    "a path for an id": (lambda o, _: replace(o, unit_id="../../etc/cron.d/x"), "no unit's id"),
    "an id with NUL": (lambda o, _: replace(o, unit_id=o.unit_id + "\0"), "no unit's id"),
    "an endless id": (lambda o, _: replace(o, unit_id="a" * 100_000), "no unit's id"),
    "no id": (lambda o, _: replace(o, unit_id=""), "no unit's id"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_an_order_that_is_not_what_the_user_signed_is_refused(node: Node, alice: Credential, change: str) -> None:
    changed, says = CHANGES[change]
    with pytest.raises(UnitRefused) as refused:
        await node.start(changed(unit_order(alice, shell("true")), alice))
    if change != "garbage for JSDL":
        assert says in refused.value.message
    assert len(refused.value.message) < 2000
    assert traces(node) == []
    assert await node.slots_free() == 8


async def test_a_machine_cannot_sign_jobs(node: Node, people: People, alice: Credential) -> None:
    order = unit_order(alice, shell("true"))
    forged = replace(order, job=sign(order.job.payload, people.core, purpose=ORDER_PURPOSE))
    with pytest.raises(UnitRefused, match="holds a machine certificate"):
        await node.start(forged)


async def test_another_user_cannot_sign_for_her(node: Node, alice: Credential, bob: Credential) -> None:
    order = unit_order(alice, shell("true"))
    forged = replace(order, job=sign(order.job.payload, bob, purpose=ORDER_PURPOSE))
    with pytest.raises(UnitRefused, match="job id is not"):
        await node.start(forged)


async def test_a_certificate_of_another_ca_is_refused(node: Node) -> None:
    stranger = People.make().user("alice")
    with pytest.raises(UnitRefused, match="issued by|does not fit|not trusted"):
        await node.start(unit_order(stranger, shell("true")))


async def test_an_expired_certificate_is_refused(node: Node, people: People) -> None:
    late = people.user("late", lifetime=-60)
    with pytest.raises(UnitRefused, match="expired"):
        await node.start(unit_order(late, shell("true")))


async def test_a_revoked_user_is_refused(people: People, place: Path, node_name: str) -> None:
    mallory = people.user("mallory")
    trust = Trust.from_pem(people.authority.certificate_pem())
    revoked = [(mallory.identity.serial, int(time.time()))]
    async with Node(people, place, name=node_name, trust=trust) as node:
        before = unit_order(mallory, shell("true"))
        assert (await node.run(before)).state is State.DONE
        trust.set_crl(people.authority.crl(revoked, number=1, lifetime_s=3600))
        with pytest.raises(UnitRefused, match="revoked"):
            await node.start(unit_order(mallory, shell("true")))
        await node.start(before)  # the same order again changes nothing, whatever became of her since


async def test_a_job_that_names_other_nodes_does_not_run_here(node: Node, alice: Credential) -> None:
    with pytest.raises(UnitRefused, match="does not want this node"):
        await node.start(unit_order(alice, shell("true", candidate_hosts=("elsewhere",))))


@pytest.mark.parametrize("name", [
    "../escape", "a/../../escape", "/etc/passwd", "", ".", "..", "a//b", "a/", "./a", "a\0b",
    "x" * 256, "a/" + "y" * 300,
])  # fmt: skip
async def test_a_staged_file_cannot_leave_the_working_directory(node: Node, alice: Credential, name: str) -> None:
    with pytest.raises(UnitRefused, match="cannot be staged"):
        await node.start(unit_order(alice, shell("true"), files=[InputFile(name, b"x")]))
    assert traces(node) == []


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("d/a", "d/a/b/c")])
async def test_staged_files_cannot_overwrite_each_other(node: Node, alice: Credential, names: tuple[str, ...]) -> None:
    with pytest.raises(UnitRefused, match="same name"):
        await node.start(unit_order(alice, shell("true"), files=[InputFile(name, b"x") for name in names]))


async def test_a_file_that_did_not_come_is_missed(node: Node, alice: Credential) -> None:
    with pytest.raises(UnitRefused, match="'data' did not come"):
        await node.start(unit_order(alice, shell("true", stage_in=(StagedFile("data"),))))


async def test_a_full_node_says_so_and_a_freed_slot_is_free(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    async with Node(people, place, name=node_name, slots=1) as node:
        first = unit_order(alice, shell("sleep 1000"))
        await node.start(first)
        second = unit_order(alice, shell("true"))
        with pytest.raises(NoSlot) as full:
            await node.start(second)
        assert full.value.message == f"{node_name} has no free slot (1/1 used)"
        await node.kill(first.unit_id)
        await node.manager.ended(first.unit_id)
        assert await node.slots_free() == 1
        assert (await node.run(second)).state is State.DONE


async def test_a_unit_that_never_fits_is_refused_with_numbers(node: Node, alice: Credential) -> None:
    with pytest.raises(DoesNotFit, match="the job needs 4000"):
        await node.start(unit_order(alice, shell("true", cores=4000)))
    with pytest.raises(DoesNotFit, match="the job needs sparc"):
        await node.start(unit_order(alice, shell("true", architecture="sparc")))


async def test_only_the_owner_a_vo_admin_and_machines_may_kill_and_look(
    node: Node, people: People, alice: Credential, bob: Credential
) -> None:
    order = unit_order(alice, shell("echo private; sleep 1000"))
    await node.start(order)
    await node.manager.state(order.unit_id, State.RUNNING)
    stranger_admin = Identity(Kind.USER, "boss", "other", roles=("VOAdmin",))
    for caller in (bob.identity, stranger_admin, Identity(Kind.ANONYMOUS, "")):
        with pytest.raises(NotYourUnit):
            await node.kill(order.unit_id, caller=caller)
        with pytest.raises(NotYourUnit):
            await node.output(order.unit_id, caller=caller)
    admin = people.user("boss", roles=("VOAdmin",)).identity
    await node.output(order.unit_id, caller=admin)
    await node.kill(order.unit_id, caller=alice.identity)
    assert (await node.manager.ended(order.unit_id)).state is State.CANCELLED
    with pytest.raises(NotYourUnit):
        await node.output(order.unit_id, caller=bob.identity)
    assert await node.output(order.unit_id, caller=alice.identity) == b"private\n"


async def test_unknown_units_are_unknown_to_users_and_remembered_for_machines(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    order = unit_order(alice, shell("touch /var/tmp/never"))
    async with Node(people, place, name=node_name) as node:
        with pytest.raises(UnknownUnit):
            await node.kill(order.unit_id, caller=alice.identity)
        with pytest.raises(UnknownUnit):
            await node.output(order.unit_id, caller=alice.identity)
        for hostile in ("../units", "", "a" * 1000, "x\0y"):
            with pytest.raises(UnknownUnit):
                await node.kill(hostile)
        await node.kill(order.unit_id)
        assert await node.execution.units([order.unit_id]) == []
    async with Node(people, place, name=node_name) as node:  # also after a restart
        with pytest.raises(UnitRefused, match="killed before it came"):
            await node.start(order)


async def test_the_same_order_again_changes_nothing_and_another_is_refused(
    node: Node, place: Path, alice: Credential
) -> None:
    (place / "runs").touch()
    (place / "runs").chmod(0o666)
    order = unit_order(alice, shell(f"echo ran >>{place}/runs"), request="request-once-and-only")
    for _ in range(3):
        await node.start(order)
    assert (await node.manager.ended(order.unit_id)).state is State.DONE
    await node.start(order)
    assert (place / "runs").read_text() == "ran\n"
    other = unit_order(alice, shell("true"), request="request-once-and-only")
    assert other.unit_id == order.unit_id
    with pytest.raises(UnitRefused, match="another order"):
        await node.start(other)


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=755", "xos-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_is_said_and_leaves_nothing_half_made(
    people: People, small_disk: Path, node_name: str, alice: Credential
) -> None:
    async with Node(people, small_disk, name=node_name) as node:
        large = unit_order(alice, shell("true"), files=[InputFile("large", b"x" * 300_000)])
        with pytest.raises(StorageFull):
            await node.start(large)
        assert traces(node) == []
        assert await node.slots_free() == 8
        assert (await node.run(unit_order(alice, shell("true")))).state is State.DONE


async def test_too_little_space_is_enough_to_refuse(
    people: People, place: Path, node_name: str, alice: Credential
) -> None:
    async with Node(people, place, name=node_name, spare_bytes=2**62) as node:
        with pytest.raises(StorageFull):
            await node.start(unit_order(alice, shell("true")))
        assert traces(node) == []


async def test_a_job_that_fills_the_disk_still_gets_its_end_on_record(
    people: People, small_disk: Path, node_name: str, alice: Credential
) -> None:
    async with Node(people, small_disk, name=node_name) as node:
        order = unit_order(alice, shell("head -c 10000000 /dev/zero; exit 4"))
        unit = await node.run(order)
        assert (unit.state, unit.exit_code) == (State.FAILED, 4)
