# SPDX-License-Identifier: BSD-3-Clause
"""VOLife on real systems: installed by dnf beside a core, and on a machine that is none; it answers over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.systems import Grid, Machine

PORT = 6780
SETUP = "/var/lib/xos/setup.json"
LOOK = """
import ssl, sys, urllib.request
trust = ssl.create_default_context(cafile="/etc/xos/ca.pem")
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=20, context=trust).read().decode())
"""
PACKAGES = "xos-web xos-volife"


def look(who: Machine, at: str) -> str:
    """The sign-in page of the machine at that address, as *who* sees it, who trusts the VO CA alone."""
    return who.run(["python3", "-c", LOOK, f"https://{at}:{PORT}/sign-in"], seconds=60.0)


def install(machine: Machine) -> None:
    machine.run(f"dnf -q -y install {PACKAGES}", seconds=300.0)


def remove(machine: Machine) -> None:
    """As if the page had never been there."""
    machine.run("systemctl disable --now xos-web.target; systemctl stop dixid@web.service", check=False)
    machine.run(f"rpm -e {PACKAGES}; rm -rf /etc/xos/web.toml /var/lib/xos/web; systemctl daemon-reload", check=False)


@pytest.fixture
def core(grid: Grid) -> Iterator[Machine]:
    """A core that shows the page."""
    kept = grid.core.get(SETUP)
    again = ["xos-setup", "core", "--hostname", "core", "--address", grid.core.address, "--vo", "demo", "--json"]
    install(grid.core)
    try:
        made = json.loads(grid.core.run(again, seconds=180.0))
        assert made["page"] == f"https://{grid.core.address}:{PORT}"
        yield grid.core
    finally:
        remove(grid.core)
        grid.core.run(again, seconds=180.0)
        grid.core.put(SETUP, kept)


def test_a_core_shows_the_page_to_other_machines_and_after_each_restart(grid: Grid, core: Machine) -> None:
    assert "Sign in with your certificate" in look(grid.node1, core.address)
    core.run("systemctl disable --now xos-web.target")
    core.wait_for("the page is gone", lambda: core.state("dixid@web.service") == "inactive")
    core.run("systemctl enable --now xos-web.target", seconds=120.0)
    assert "Sign in" in look(grid.node1, core.address)
    core.wait_for_another("dixid@web.service", core.kill("dixid@web.service", "KILL"))
    assert "Sign in" in look(grid.node1, core.address)
    assert core.run("systemctl list-units --failed --no-legend 'xos*' 'dixid*'") == ""


def test_a_machine_that_is_no_core_shows_the_page_by_a_join_word(grid: Grid) -> None:
    node = grid.node2
    kept, config = node.get(SETUP), node.get("/etc/xos/client.toml")
    install(node)
    try:
        word = grid.core.run(["xos-node", "token", "web1", "--address", node.address])
        join = ["xos-setup", "web", "--address", node.address, "--token", "-", "--json"]
        told = node.run(join, stdin=word, seconds=180.0)
        assert json.loads(told)["page"] == f"https://{node.address}:{PORT}"
        assert "Virtual Organisation" in look(grid.core, node.address)
        assert node.run("hostname").strip() == "node2"
        owner = node.run("stat -c '%U %a' /var/lib/xos/web/machine.key").split()
        assert owner == ["xos", "600"]
        node.run("systemctl restart dixid@web.service", seconds=120.0)
        assert "Sign in" in look(grid.core, node.address)
    finally:
        remove(node)
        node.put(SETUP, kept)
        node.put("/etc/xos/client.toml", config)
        grid.core.run("HOME=/root xos-resource withdraw web1", check=False)
