# SPDX-License-Identifier: BSD-3-Clause
"""VO users on real systems: names, jobs under their accounts, and a machine that never depends on xos-amsd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.systems import Grid, Machine

TABLE = "/var/lib/xos-accounts/table"
AMSD = "xos-amsd.service"


def account(machine: Machine) -> dict[str, Any]:
    """alice's, which the sample job has made."""
    (found,) = [each for each in json.loads(machine.run("xos-map list --json")) if each["owner"] == "alice"]
    return dict(found)


@pytest.fixture(params=["node1", "node2"])
def node(grid: Grid, request: pytest.FixtureRequest) -> Machine:
    found: Machine = getattr(grid, request.param)
    return found


def test_a_vo_user_is_a_user_of_every_node(node: Machine) -> None:
    alice = account(node)
    line = node.run("getent passwd alice.demo").strip()
    assert line == f"alice.demo:*:{alice['uid']}:{alice['uid']}:alice@demo:/var/lib/xos/home/alice.demo:/bin/bash"
    assert node.run(f"getent passwd {alice['uid']}").strip() == line
    shown = node.run("id alice.demo")
    assert f"uid={alice['uid']}(alice.demo) gid={alice['uid']}(alice@demo)" in shown
    assert "(users.demo)" in shown
    assert "alice.demo" not in node.run("getent passwd")
    assert node.fails("getent passwd nobody.elsewhere").data["status"] == 2


def test_a_jobs_processes_and_files_belong_to_the_vo_user(grid: Grid) -> None:
    job = grid.submit(
        "id -un; id -Gn; touch ~/made-by-a-job; ls -l ~/made-by-a-job; ps -o user:40= $$; echo $HOME", units=2
    )
    grid.alice(["xwait", job])
    for index in (0, 1):
        name, groups, listed, owner, home = grid.alice(["xout", job, "--unit", str(index)]).splitlines()
        assert name == "alice.demo"
        assert groups.split() == ["alice@demo", "users.demo"]
        assert listed.split()[2:4] == ["alice.demo", "alice@demo"]
        assert owner.strip() == "alice.demo"
        assert home == "/var/lib/xos/home/alice.demo"


def test_looking_names_up_gives_no_number_away(node: Machine) -> None:
    before = node.run("xos-map list --json")
    first = node.run("getent passwd never-seen.demo")
    assert node.run("getent passwd never-seen.demo") == first
    told = int(first.split(":")[2])
    assert node.run(f"getent passwd {told}") == first
    assert node.fails(f"getent passwd {told + 1}").data["status"] == 2
    assert node.run("xos-map list --json") == before


def test_with_amsd_dead_and_its_table_gone_root_and_local_users_notice_nothing(node: Machine) -> None:
    alice = account(node)
    try:
        node.run("systemctl stop xos-amsd.socket xos-amsd.service")
        assert node.run("id -un alice.demo").strip() == "alice.demo"  # from the table
        node.run(f"rm {TABLE}")
        for user in ("root", "daemon"):
            assert node.run(f"time timeout 1 id -un {user}").strip() == user
        assert node.run("timeout 5 su root -c 'id -u'").strip() == "0"
        assert node.run(f"timeout 2 stat -c %U {alice['home']}").strip() == "UNKNOWN"
        assert node.fails("timeout 2 getent passwd alice.demo").data["status"] == 2
    finally:
        node.run("systemctl start xos-amsd.socket xos-amsd.service")
    assert node.run(f"stat -c %U {alice['home']}").strip() == "alice.demo"
    assert account(node)["uid"] == alice["uid"]


def test_a_killed_or_hung_amsd_comes_back_and_knows_everybody(node: Machine) -> None:
    alice = account(node)
    for signal in ("KILL", "STOP"):  # the watchdog sees to the latter
        pid = node.pid(AMSD)
        node.kill(AMSD, signal)
        assert node.run("timeout 2 id -u alice.demo").strip() == str(alice["uid"])
        node.wait_for_another(AMSD, pid, seconds=90)
        assert account(node)["uid"] == alice["uid"]


def test_groups_are_looked_for_where_the_group_line_says_also_after_it_changed(grid: Grid) -> None:
    node = grid.node2
    look = "grep ^initgroups: /etc/nsswitch.conf"
    assert node.run(look).startswith("initgroups: files [SUCCESS=continue] xos")
    groups = node.run("id -G alice.demo; id -G root")
    node.run("cp -p /etc/nsswitch.conf /root/nsswitch.conf; sed -i 's/^group:.*/& db/' /etc/nsswitch.conf")
    try:
        node.wait_for("the line for initgroups", lambda: node.run(look).endswith("] db\n"), seconds=30)
        assert node.run("id -G alice.demo; id -G root") == groups
    finally:
        node.run("cp -p /root/nsswitch.conf /etc/nsswitch.conf")


def test_removing_the_package_leaves_nothing_in_nsswitch_conf(grid: Grid) -> None:
    node = grid.node2
    assert "files xos" in node.run("grep ^passwd /etc/nsswitch.conf")
    alice = account(node)
    try:
        node.run("cp /etc/xos/node.toml /root/node.toml; rpm -e --nodeps xos-node")
        assert node.run("grep -cw xos /etc/nsswitch.conf || true").strip() == "0"
        assert node.run("id -un root").strip() == "root"
        assert node.fails("systemctl cat xos-amsd.socket").data["status"] == 1
    finally:
        node.run("dnf -q -y install xos-node; cp /root/node.toml /etc/xos/node.toml; rm -f /etc/xos/node.toml.rpm*")
        node.run("systemctl daemon-reload; systemctl start xos-amsd.socket; systemctl restart xos-amsd.service")
    assert "files xos" in node.run("grep ^passwd /etc/nsswitch.conf")
    assert account(node)["uid"] == alice["uid"]


def test_another_vo_user_can_neither_read_nor_signal_nor_see_the_credential(grid: Grid) -> None:
    core, secret = grid.core, "correct horse battery"
    if "bob" not in core.run("HOME=/root xos-vo list-users demo"):
        core.run("HOME=/root xos-vo add-user demo bob --password-file -", stdin=f"{secret}\n")
        core.run("id bob || useradd --create-home bob")
        core.run(
            ["get-xos-cert", "demo", "bob", "--password-file", "-", "--no-passphrase"], as_user="bob", stdin=secret
        )
    hers = grid.submit("umask 0; echo secret > ~/private; exec sleep 300", units=2)
    try:
        grid.node1.wait_for("alice's job runs", lambda: "sleep" in grid.node1.run("pgrep -lu alice.demo sleep || true"))
        script = (  # if one ended with a failure, the other would be ended
            "exec 2>&1; id -un; cat ~alice.demo/private; ls ~alice.demo; pkill -9 -u alice.demo; "
            "grep -c xos:bob.demo /proc/keys; grep -c xos:alice.demo /proc/keys; true"
        )
        his = core.run(["xsub", "--units", "2", "--", "sh", "-c", script], as_user="bob").split()[0]
        core.run(["xwait", his], as_user="bob", check=False)
        for unit in ("0", "1"):
            lines = core.run(["xout", his, "--unit", unit], as_user="bob").splitlines()
            assert lines[0] == "bob.demo"
            assert sum("ermission denied" in line for line in lines) == 2
            assert any("not permitted" in line for line in lines)
            assert "secret" not in lines
            assert lines[-1] == "0"
        assert "sleep" in grid.node1.run("pgrep -lu alice.demo sleep")
    finally:
        grid.alice(["xkill", hers])
