# SPDX-License-Identifier: BSD-3-Clause
"""What a local grid consists of follows from its plan alone, and every daemon accepts its configuration."""

import itertools
from pathlib import Path

import pytest

from xos.common import config
from xos.dixi.client import ClientConfig
from xos.dixi.configuration import DaemonConfig, load_daemon
from xos.setup import roles
from xos.setup.local import plan
from xos.setup.local.plan import BadPlan, GridPlan, Guest


def test_each_daemon_has_a_name_an_address_and_accounts_of_its_own(tmp_path: Path) -> None:
    grid = GridPlan(nodes=plan.MOST_NODES)
    nodes = plan.layout(grid, tmp_path)
    assert len({node.name for node in nodes}) == len({node.address for node in nodes}) == plan.MOST_NODES + 1
    ranges = [plan.settings_of(node, grid, None)["ExecutionManager"] for node in nodes[1:]]
    for before, after in itertools.pairwise(ranges):
        assert int(str(before["last_uid"])) < int(str(after["first_uid"]))


@pytest.mark.parametrize("name", ["core", "node1"])
def test_a_daemon_accepts_its_configuration(tmp_path: Path, name: str) -> None:
    grid = GridPlan(slots=7, guests=(Guest("Greeter", "node1"),))
    nodes = {node.name: node for node in plan.layout(grid, tmp_path)}
    node = nodes[name]
    node.home.mkdir()
    settings = plan.settings_of(node, grid, Path('/a "strange"\tplace'))
    node.config.write_text(plan.daemon_toml(node, nodes["core"], settings))
    read = load_daemon(node.config)
    assert read.node == name
    assert tuple(read.services) == node.services
    assert ("Greeter" in read.services) == (name == "node1")
    assert [listen.address.rpartition(":")[0] for listen in read.listen] == [node.address] * len(node.ports)
    if name == "core":
        (front,) = [listen for listen in read.listen if listen.anonymous]
        assert front.services == roles.FRONT_SERVICES
    else:
        assert read.services["ResourceManager"].settings == {"slots": 7}
        assert read.services["ExecutionManager"].settings["work"] == '/a "strange"\tplace'


def test_a_client_accepts_its_configuration(tmp_path: Path) -> None:
    core = plan.layout(GridPlan(), tmp_path)[0]
    read = config.parse(plan.client_toml(core), ClientConfig, file="client.toml")
    assert read.directory.address == f"127.20.0.1:{roles.DIXI_PORT}"
    assert read.directory.front_door == f"127.20.0.1:{roles.FRONT_PORT}"


def test_what_a_daemon_does_not_know_is_refused_with_its_line(tmp_path: Path) -> None:
    core = plan.layout(GridPlan(), tmp_path)[0]
    text = plan.daemon_toml(core, core, {}) + "\n[services.CDA2]\nlimits = 3\n"
    with pytest.raises(config.ConfigError) as caught:
        config.parse(text, DaemonConfig, file="dixid.toml")
    assert "limits" in caught.value.message
    assert caught.value.data["line"] == text[: text.index("limits")].count("\n") + 1


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        (GridPlan(nodes=0), "--nodes"),
        (GridPlan(nodes=plan.MOST_NODES + 1), "--nodes"),
        (GridPlan(slots=0), "--slots"),
        (GridPlan(network="10.0.0"), "--network"),
        (GridPlan(network="127.0.0.1"), "--network"),
        (GridPlan(network="127.0.0.1; rm -rf /"), "--network"),
    ],
)
def test_sizes_and_addresses_that_make_no_sense_are_refused(wish: GridPlan, named: str) -> None:
    with pytest.raises(BadPlan, match=named):
        plan.check(wish)
