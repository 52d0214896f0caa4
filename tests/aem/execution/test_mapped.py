# SPDX-License-Identifier: BSD-3-Clause
"""Units under the accounts of xos-amsd: a real daemon, real processes, real owners."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.amsd import Amsd
from support.dixi import until
from support.jobs import People
from support.node import UIDS
from support.units import Node, shell, unit_order
from xos.aem.api import State
from xos.aem.errors import AccountRefused
from xos.aem.execution.accounts import Account
from xos.aem.execution.accounts.mapped import make_home, on_volume
from xos.common.errors import StorageBroken, StorageBusy
from xos.common.tls import Credential

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give units accounts of their own")


@pytest.fixture
def amsd(people: People, place: Path) -> Iterator[Amsd]:
    trust = place / "trust"
    trust.mkdir()
    (trust / "ca.pem").write_bytes(people.authority.certificate_pem())
    made = Amsd(place, trust)
    made.start()
    yield made
    made.kill()


@pytest.fixture
async def node(people: People, place: Path, node_name: str, amsd: Amsd) -> AsyncIterator[Node]:
    async with Node(people, place, name=node_name, accounts="mapped", accounts_socket=str(amsd.socket)) as node:
        yield node


async def test_a_unit_has_name_groups_and_home_of_its_users_account(node: Node, alice: Credential, amsd: Amsd) -> None:
    order = unit_order(alice, shell('id -u; id -G; echo "$HOME $USER $LOGNAME $XOS_USER"; touch ~/kept; stat -c %u ~'))
    assert (await node.run(order)).state is State.DONE
    uid, groups, names, owner = (await node.output(order.unit_id)).decode().splitlines()
    assert int(uid) in UIDS
    assert groups.split()[0] == uid
    assert len(groups.split()) == 2  # her own, and the VO's group users
    home = amsd.homes / "alice.demo"
    assert names == f"{home} alice.demo alice.demo alice"
    assert owner == uid
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert amsd.ask(op="lookup", uid=uid)["name"] == "alice.demo"


async def test_another_vo_user_can_neither_read_nor_signal_nor_enter(
    node: Node, alice: Credential, bob: Credential
) -> None:
    private = unit_order(alice, shell("echo secret | tee ~/private > private; pwd; exec sleep 1000"))
    await node.start(private)
    await node.manager.state(private.unit_id, State.RUNNING)
    async with contextlib.aclosing(node.pieces(private.unit_id, follow=True)) as pieces:
        work = (await anext(pieces)).decode().strip()
    script = "cat ~/../alice.demo/private {0}/private; ls ~/../alice.demo {0}; pkill -9 sleep; rm -rf ~/../alice.demo"
    curious = unit_order(bob, shell(f"exec 2>&1; {script.format(work)}; true"))
    assert (await node.run(curious)).state is State.DONE
    text = (await node.output(curious.unit_id)).decode()
    assert "secret" not in text
    assert text.count("ermission denied") >= 4
    assert "not permitted" in text
    await node.kill(private.unit_id)
    assert (await node.manager.ended(private.unit_id)).state is State.CANCELLED


async def test_a_refusal_reaches_the_job_manager_with_its_reason(node: Node, alice: Credential, amsd: Amsd) -> None:
    amsd.policy.write_text(
        'permit (principal, action, resource);\nforbid (principal, action == Action::"runJob", resource);'
    )
    with pytest.raises(AccountRefused, match="does not let alice@demo run jobs: denied by rule"):
        await node.start(unit_order(alice, shell("true")))


async def test_with_amsd_away_the_order_may_come_again(node: Node, alice: Credential, amsd: Amsd) -> None:
    amsd.end(signal.SIGKILL)
    order = unit_order(alice, shell("id -u"))
    with pytest.raises(StorageBusy):
        await node.start(order)
    amsd.start()
    assert (await node.run(order)).state is State.DONE


def keyrings_work() -> bool:
    """Containers often have none."""
    done = subprocess.run(
        [sys.executable, "-c", "from xos.aem.execution import kernel; kernel.new_session_keyring()"],
        capture_output=True,
    )
    return done.returncode == 0


@pytest.mark.skipif(not keyrings_work(), reason="the kernel has no keyrings here")
async def test_the_certificate_is_in_the_units_keyring_until_it_expires(node: Node, alice: Credential) -> None:
    script = "cat /proc/keys; id -u"
    order = unit_order(alice, shell(script))
    assert (await node.run(order)).state is State.DONE
    *lines, _ = (await node.output(order.unit_id)).decode().splitlines()
    (key,) = [line.split() for line in lines if "xos:alice.demo" in line]
    assert key[5] == "0"  # root's: nobody forges one
    assert key[3] != "perm"


def test_a_home_is_made_whole_and_only_where_nobody_else_may_write(tmp_path: Path) -> None:
    home = tmp_path / "alice.demo"
    make_home(home, 1_900_000_001, 1_900_000_001)
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (1_900_000_001, 0o700)
    make_home(home, 1_900_000_002, 1_900_000_002)
    assert home.stat().st_uid == 1_900_000_001
    assert list(tmp_path.iterdir()) == [home]
    tmp_path.chmod(0o777)
    with pytest.raises(StorageBroken, match="others may write"):
        make_home(tmp_path / "bob.demo", 1_900_000_002, 1_900_000_002)
    outside = tmp_path / "link.demo"
    outside.symlink_to("/etc")
    tmp_path.chmod(0o755)
    with pytest.raises(NotADirectoryError):
        make_home(outside, 1_900_000_002, 1_900_000_002)
    assert Path("/etc").stat().st_uid == 0


class Dissolved:
    """An XVOMS that says which VOs are over."""

    def __init__(self, *vos: str) -> None:
        self.vos = set(vos)

    async def dissolved(self, vos: tuple[str, ...]) -> list[str]:
        return sorted(self.vos & set(vos))


async def test_the_end_of_a_vo_ends_its_units_and_retires_its_accounts(
    people: People, place: Path, node_name: str, amsd: Amsd, alice: Credential
) -> None:
    async with Node(
        people,
        place,
        name=node_name,
        accounts="mapped",
        accounts_socket=str(amsd.socket),
        dissolved_seconds=0.1,
    ) as node:
        xvoms = node.bus.services["XVOMS"] = Dissolved()
        order = unit_order(alice, shell("exec sleep 1000"))
        await node.start(order)
        await node.manager.state(order.unit_id, State.RUNNING)
        xvoms.vos.add("demo")
        assert (await node.manager.ended(order.unit_id)).state is State.CANCELLED
        await until(lambda: "demo" in amsd.ask(op="status")["withdrawn"])
        with pytest.raises(AccountRefused, match="demo"):
            await node.start(unit_order(alice, shell("true")))
        await until(lambda: amsd.ask(op="status")["active"] == "0")


@pytest.mark.parametrize(("status", "there"), [(0, True), (1, False)])
def test_the_nodes_helper_says_whether_a_home_is_on_a_volume(tmp_path: Path, status: int, there: bool) -> None:
    account = Account(700_001, 700_002, (), "alice.demo", str(tmp_path / "alice.demo"))
    assert not on_volume(account, tmp_path / "absent")
    helper = tmp_path / "home-volume"
    helper.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/told\nexit {status}\n')
    helper.chmod(0o755)
    assert on_volume(account, helper) is there
    assert (tmp_path / "told").read_text() == f"alice.demo 700001 700002 {tmp_path}/alice.demo\n"


def test_a_unit_waits_while_the_volume_of_its_home_is_away(tmp_path: Path) -> None:
    helper = tmp_path / "home-volume"
    helper.write_text("#!/bin/sh\nexit 2\n")
    helper.chmod(0o755)
    with pytest.raises(StorageBusy):
        on_volume(Account(700_001, 700_002, (), "alice.demo", str(tmp_path)), helper)
