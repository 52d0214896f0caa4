# SPDX-License-Identifier: BSD-3-Clause
"""The end of a VO on real systems: logins, jobs and accounts of its users are over within a minute."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from support.systems import Grid, Machine

VO, USER = "shortlived", "zoe"
ACCOUNT = f"{USER}.{VO}"
WITHIN_SECONDS = 60.0
SECRET = "correct horse battery"


def as_core(grid: Grid, command: str, stdin: str = "") -> str:
    """What root of the core says to the VO's services."""
    return grid.core.run(f"HOME=/root {command}", stdin=stdin)


def logs_in(grid: Grid, node: Machine) -> bool:
    """Whether the user gets in by stock ssh, without a question."""
    config = "-F $(get-xos-cert --ssh-config) -o BatchMode=yes -o StrictHostKeyChecking=yes"
    said = grid.core.run(f"ssh {config} {node.name} id -un 2>&1", as_user=USER, check=False)
    return ACCOUNT in said.splitlines()


def runs(node: Machine) -> bool:
    """Whether anything of the user's runs on a node."""
    return node.run(["pgrep", "-u", ACCOUNT, "sleep"], check=False) != ""


def account(node: Machine) -> dict[str, object]:
    (found,) = [each for each in json.loads(node.run("xos-map list --json")) if each["name"] == ACCOUNT]
    return dict(found)


@pytest.fixture
def nodes(grid: Grid) -> Iterator[tuple[Machine, ...]]:
    """Both nodes serve the VO, of which the user is a member."""
    both = grid.node1, grid.node2
    kept = {node.name: node.get("/etc/xos/node.toml") for node in both}
    as_core(grid, f"xos-vo create {VO}")
    as_core(grid, f"xos-vo add-user {VO} {USER} --password-file -", f"{SECRET}\n")
    grid.core.run(f"id {USER} || useradd --create-home {USER}")
    grid.core.run(["get-xos-cert", VO, USER, "--password-file", "-", "--no-passphrase"], as_user=USER, stdin=SECRET)
    for node in both:
        node.run(["xos-map", "serve", VO])
        node.wait_for("host certificates", lambda node=node: "cert.pub" in node.run("ls /var/lib/xos-ssh"), 60)  # type: ignore[misc]
        node.run("systemctl is-active ssh.service || systemctl start ssh.service")
    try:
        yield both
    finally:
        for node in both:
            node.put("/etc/xos/node.toml", kept[node.name])
            node.run("systemctl reload xos-amsd.service")
        grid.core.run(f"pkill -u {USER}; userdel -r {USER}", check=False)


def test_within_a_minute_nobody_of_a_dissolved_vo_logs_in_runs_anything_or_has_an_account(
    grid: Grid, nodes: tuple[Machine, ...]
) -> None:
    grid.core.run(["xsub", "--units", "2", "--", "sleep", "600"], as_user=USER)
    for node in nodes:
        node.wait_for("the unit runs", lambda node=node: runs(node))  # type: ignore[misc]
        assert logs_in(grid, node)
        assert account(node)["state"] == "active"
    as_core(grid, f"xos-vo dissolve {VO} --yes")
    began = time.monotonic()
    over: dict[str, Callable[[Machine], bool]] = {
        "ssh is refused": lambda node: not logs_in(grid, node),
        "the unit is ended": lambda node: not runs(node),
        "the account is retired": lambda node: account(node)["state"] == "quarantined",
        "the VO is not served": lambda node: VO in json.loads(node.run("xos-map status --json"))["withdrawn"],
    }
    for what, is_so in over.items():
        for node in nodes:
            node.wait_for(what, lambda node=node, is_so=is_so: is_so(node), WITHIN_SECONDS)  # type: ignore[misc]
    assert time.monotonic() - began < WITHIN_SECONDS
    for node in nodes:
        assert node.fails(["getent", "passwd", ACCOUNT]).data["status"] == 2
        assert "alice" in node.run("getent passwd alice.demo")
    refused = grid.core.fails(
        ["get-xos-cert", VO, USER, "--password-file", "-", "--no-passphrase"], as_user=USER, stdin=SECRET
    )
    assert "wrong VO, user or password" in str(refused.data["detail"])
    assert grid.core.fails(["xps", "--all"], as_user=USER).data["status"] == 1

    # What is left is for auditors, signed by the VO's manager: the command verifies that.
    said = json.loads(as_core(grid, f"xos-vo archive {VO} --json"))
    assert [user["name"] for user in said["users"]] == [USER]
    acts = json.loads(as_core(grid, f"xos-audit trail {VO} --json"))
    assert acts[0]["act"] == "vo-dissolved"


def test_another_vo_notices_nothing(grid: Grid) -> None:
    job = grid.submit("echo here", units=2)
    grid.alice(["xwait", job])
    assert grid.alice(["xout", job]).count("here") == 2
