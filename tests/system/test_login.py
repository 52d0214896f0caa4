# SPDX-License-Identifier: BSD-3-Clause
"""alice logs in to real systems: stock ssh and sshd, PAM, systemd, from the core to the resource nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from support.systems import Grid, Machine

CONFIG = "$(get-xos-cert --ssh-config)"
ACCOUNT = "alice.demo"


def ssh(grid: Grid, node: str, command: str) -> str:
    """What *command* prints on *node*, by stock ssh as alice, with no question asked."""
    quoted = command.replace("'", "'\\''")
    return grid.alice(f"ssh -F {CONFIG} -o BatchMode=yes -o StrictHostKeyChecking=yes {node} '{quoted}'")


def _certified(node: Machine) -> bool:
    return "cert.pub" in node.run("ls /var/lib/xos-ssh")


@pytest.fixture(scope="module")
def alices(grid: Grid) -> Grid:
    """The grid, once both nodes have their host certificates."""
    for node in (grid.node1, grid.node2):
        node.wait_for("host certificates", partial(_certified, node), 60)
        node.run("systemctl is-active ssh.service || systemctl start ssh.service")
    return grid


@pytest.fixture(params=["node1", "node2"])
def node(alices: Grid, request: pytest.FixtureRequest) -> Machine:
    found: Machine = getattr(alices, request.param)
    return found


def test_alice_logs_in_to_both_nodes_with_stock_ssh_and_no_question(alices: Grid, node: Machine) -> None:
    shown = ssh(alices, node.name, "id; hostname; pwd")
    assert f"({ACCOUNT})" in shown
    assert "(users.demo)" in shown
    assert shown.splitlines()[1:] == [node.name, f"/var/lib/xos/home/{ACCOUNT}"]
    assert alices.alice(f"ssh-xos -o BatchMode=yes {node.name} id -un").strip() == ACCOUNT


def test_the_session_holds_the_credential_and_is_a_session_of_systemds(alices: Grid, node: Machine) -> None:
    assert f"user: xos:{ACCOUNT}" in ssh(alices, node.name, "keyctl show @s")
    assert f"user-{node.run(f'id -u {ACCOUNT}').strip()}.slice" in ssh(alices, node.name, "cat /proc/self/cgroup")


@pytest.fixture
def short(alices: Grid) -> Iterator[str]:
    """What goes before a command of alice's so that it goes by a certificate of a minute."""
    home = "XOS_NO_AGENT=1 XOS_HOME=~/.xos-short"
    alices.alice("rm -rf ~/.xos-short; cp -a ~/.xos ~/.xos-short")
    alices.alice(f"{home} get-xos-cert demo alice --password-file ~/password --no-passphrase --hours 0.017")
    yield home
    alices.alice("rm -rf ~/.xos-short")


LOOK = f"keyctl search @s user xos:{ACCOUNT}"


def test_the_credential_is_in_the_sessions_keyring_until_it_expires(alices: Grid, short: str) -> None:
    until_gone = f"n=0; while {LOOK} >/dev/null 2>&1 && [ $n -lt 900 ]; do n=$((n+1)); sleep 0.1; done"
    script = f"keyctl show @s; {until_gone}; echo after; keyctl show @s"
    said = alices.alice(
        f"{short} ssh -F $({short} get-xos-cert --ssh-config) -o BatchMode=yes node1 '{script}' 2>&1", seconds=120
    )
    before, after = said.split("after\n")
    assert f"user: xos:{ACCOUNT}" in before
    assert f"xos:{ACCOUNT}" not in after


def test_a_login_with_a_renewed_certificate_renews_what_running_sessions_hold(alices: Grid, short: str) -> None:
    show = f"keyctl pipe $({LOOK}) | sha256sum"
    script = (
        f"rm -f go; {show}; n=0; until [ -e go ] || [ $n -gt 400 ]; do n=$((n+1)); sleep 0.1; done; {show}; rm -f go"
    )
    said = alices.alice(
        f"ssh -F $({short} get-xos-cert --ssh-config) -o BatchMode=yes node1 '{script}' >~/long & "
        "n=0; until [ -s ~/long ] || [ $n -gt 400 ]; do n=$((n+1)); sleep 0.1; done; "
        f"ssh -F {CONFIG} -o BatchMode=yes node1 '{show}; touch go'; wait; cat ~/long",
        seconds=120,
    )
    renewed, before, after = said.splitlines()
    assert before != after == renewed


def test_systemd_holds_sessions_to_what_the_node_says_of_a_group(alices: Grid) -> None:
    node, config = alices.node2, "/etc/xos/node.toml"
    text = node.get(config)
    said = '[groups."demo/users"]\nlimits = { nofile = "500:600", tasks_max = "77" }\n'
    said += 'slice = { MemoryMax = "1G", TasksMax = "123", CPUQuota = "150%" }\n'
    uid = node.run(f"id -u {ACCOUNT}").strip()
    slice_ = f"user-{uid}.slice"
    try:
        node.put(config, f"{text}\n{said}")
        node.run("systemctl reload xos-amsd")
        session = "systemctl show $(sed -n 's,.*/,,p' /proc/self/cgroup | tail -n 1) -p TasksMax"
        shown = ssh(alices, node.name, f"ulimit -Sn; ulimit -Hn; {session}; systemctl show {slice_} -p MemoryMax")
        assert shown.split() == ["500", "600", "TasksMax=77", f"MemoryMax={2**30}"]
        limits = node.run(f"systemctl show {slice_} -p TasksMax -p CPUQuotaPerSecUSec")
        assert sorted(limits.split()) == ["CPUQuotaPerSecUSec=1.500000s", "TasksMax=123"]
    finally:
        node.put(config, text)
        node.run(f"systemctl reload xos-amsd; systemctl revert {slice_}")


def test_a_jobs_files_are_those_that_alice_sees_when_she_logs_in(alices: Grid) -> None:
    job = alices.submit("touch $HOME/made-by-a-job")
    alices.alice(f"xwait {job}")
    seen = [ssh(alices, name, "stat -c %U made-by-a-job 2>/dev/null || true").strip() for name in ("node1", "node2")]
    assert ACCOUNT in seen


def test_local_root_logs_in_with_amsd_stopped_and_its_table_deleted(alices: Grid) -> None:
    node = alices.node1
    node.run("mkdir -pm 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_test")
    node.run("cp /root/.ssh/id_test.pub /root/.ssh/authorized_keys")
    try:
        node.run("systemctl stop xos-amsd.socket xos-amsd.service; rm -f /var/lib/xos-accounts/table")
        options = "-i /root/.ssh/id_test -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
        assert node.run(f"ssh {options} root@127.0.0.1 id -un").strip() == "root"
        assert node.run("su - root -c 'id -un'").strip() == "root"
        refused = alices.core.fails(f"ssh -F {CONFIG} -o BatchMode=yes node1 true", as_user="alice")
        assert refused.data["status"] == 255
    finally:
        node.run(
            "systemctl start xos-amsd.socket xos-amsd.service; rm -f /root/.ssh/id_test* /root/.ssh/authorized_keys"
        )


@pytest.fixture
def suspended(alices: Grid) -> Iterator[float]:
    """alice is suspended in the VO; when that was."""
    admin = "HOME=/root XOS_NO_AGENT=1"
    alices.core.run(f"env {admin} xos-vo suspend demo alice")
    yield time.monotonic()
    alices.core.run(f"env {admin} xos-vo resume demo alice")
    alices.alice("get-xos-cert demo alice --password-file ~/password --no-passphrase")


def test_a_suspended_user_is_refused_within_a_minute(alices: Grid, suspended: float) -> None:
    config = "/home/alice/.xos/ssh_config"

    def refused() -> bool:
        return "no" in alices.alice(f"ssh -F {config} -o BatchMode=yes node1 true && echo yes || echo no")

    alices.node1.wait_for("alice to be refused", refused, 60)
    assert time.monotonic() - suspended < 60


def test_removing_the_package_leaves_pam_and_sshd_as_they_were(alices: Grid) -> None:
    node = alices.node2
    node.run("rpm -e --nodeps xos-login")
    try:
        assert "pam_xos" not in node.run("cat /etc/pam.d/common-*")
        node.run("sshd -t; test ! -e /etc/ssh/sshd_config.d/50-xos.conf; test ! -e /var/lib/xos-ssh/user_ca_keys")
        assert node.run("su - root -c 'id -un'").strip() == "root"
    finally:
        node.run("dnf -y install xos-login")
        node.run("systemctl start xos-ssh-trust.path xos-ssh-trust.timer xos-ssh-trust.service")
    assert node.run("grep -c pam_xos /etc/pam.d/common-session").strip() == "1"
