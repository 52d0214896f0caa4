# SPDX-License-Identifier: BSD-3-Clause
"""Real daemons: hosting, routing, restarts, the gateway and blocking clients."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.daemons import Node, eventually, nodes
from support.dixi import Grid
from xos.common.tls import client_context
from xos.dixi.blocking import BlockingBus
from xos.dixi.client import ClientConfig, ClientDirectory
from xos.dixi.directory import NodeRecord
from xos.dixi.errors import ConnectionLost, DeadlineExceeded, NotConnected, UnknownService
from xos.dixi.xati import DirectoryXati

GREETER = '[services.Greeter]\nimplementation = "support.hosted:Greeter"\n'
FORWARDER = '[services.Forwarder]\nimplementation = "support.hosted:Forwarder"\n'


@pytest.fixture
def two(grid: Grid) -> Iterator[tuple[Node, Node]]:
    core = Node(grid, "core1", "[services.Directory]\n" + FORWARDER)
    leaf = Node(grid, "leaf1", GREETER + '[services.Greeter.settings]\ngreeting = "hi"\n', directory=core.address)
    with nodes(core, leaf):
        yield core, leaf


def bus_to(grid: Grid, core: Node) -> BlockingBus:
    return BlockingBus(ClientConfig(directory=ClientDirectory(address=core.address)), grid.trust, grid.user)


def ask(bus: BlockingBus, service: str, method: str, *args: object, **options: float) -> object:
    return bus.caller(service).call(
        f"{service}.{method}", args, str, retry=True, deadline=options.get("deadline", 10.0)
    )


def test_a_service_is_found_wherever_it_runs(grid: Grid, two: tuple[Node, Node]) -> None:
    core, _ = two
    with bus_to(grid, core) as bus:
        assert ask(bus, "Greeter", "greet") == "hi, alice@demo, from leaf1"
        assert ask(bus, "Forwarder", "ask") == "hi, core1, from leaf1"
        with pytest.raises(UnknownService):
            ask(bus, "Nowhere", "greet")
        assert list(bus.caller("Greeter").stream("Greeter.count", (300,), int)) == list(range(300))
        with pytest.raises(DeadlineExceeded):
            ask(bus, "Greeter", "slow", 5.0, deadline=0.1)
        assert ask(bus, "Greeter", "greet") == "hi, alice@demo, from leaf1"


@pytest.mark.timeout(60)
def test_callers_survive_the_kill_and_restart_of_every_daemon(grid: Grid, two: tuple[Node, Node]) -> None:
    core, leaf = two
    with bus_to(grid, core) as bus:
        for node in (leaf, core, leaf):
            assert ask(bus, "Forwarder", "ask") == "hi, core1, from leaf1"
            node.kill()
            node.start()
            for _ in eventually():
                try:
                    assert ask(bus, "Greeter", "greet") == "hi, alice@demo, from leaf1"
                    assert ask(bus, "Forwarder", "ask") == "hi, core1, from leaf1"
                    break
                except UnknownService:
                    continue  # the node has not registered again yet


def test_a_node_that_stops_leaves_the_directory_at_once(grid: Grid, two: tuple[Node, Node]) -> None:
    core, leaf = two
    with bus_to(grid, core) as bus:
        directory = DirectoryXati(bus)
        assert [record.node for record in directory.nodes()] == ["core1", "leaf1"]
        assert leaf.stop() == 0
        assert [record.node for record in directory.nodes()] == ["core1"]


def test_a_stop_lets_calls_under_way_end(grid: Grid, two: tuple[Node, Node]) -> None:
    core, leaf = two
    answers: list[object] = []
    with bus_to(grid, core) as bus:
        ask(bus, "Greeter", "greet")
        calling = threading.Thread(target=lambda: answers.append(ask(bus, "Greeter", "slow", 1.0)))
        calling.start()
        time.sleep(0.3)
        assert leaf.stop() == 0
        calling.join(5)
    assert answers == ["done"]


def test_a_second_daemon_at_the_same_address_says_so_and_touches_nothing(grid: Grid, two: tuple[Node, Node]) -> None:
    core, _ = two
    again = subprocess.run(core.command, env=core.environment, capture_output=True)
    assert again.returncode == 1
    assert b"cannot listen at " + core.address.encode() in again.stderr
    assert b"[dixi.address]" in again.stderr
    with bus_to(grid, core) as bus:
        assert ask(bus, "Forwarder", "ask")


def test_a_wrong_configuration_names_file_key_and_line(grid: Grid) -> None:
    node = Node(grid, "bad1", "[services.Directory]\nlimits = 3\n")
    try:
        command = [sys.executable, "-m", "xos.dixi.dixid", "--check", "--config", str(node.config)]
        checked = subprocess.run(command, capture_output=True, text=True)
        assert checked.returncode != 0
        line = node.config.read_text().splitlines().index("limits = 3") + 1
        assert str(node.config) in checked.stderr
        assert f"{line}" in checked.stderr
        assert "limits" in checked.stderr
        assert "limit" in checked.stderr
    finally:
        node.remove()


def test_sighup_keeps_the_daemon_serving(grid: Grid, two: tuple[Node, Node]) -> None:
    core, leaf = two
    with bus_to(grid, core) as bus:
        ask(bus, "Greeter", "greet")
        assert leaf.process is not None
        leaf.process.send_signal(signal.SIGHUP)
        assert ask(bus, "Greeter", "greet")
        for _ in eventually():
            if "reloaded" in leaf.log():
                break


def curl(node: Node, grid: Grid, tmp_path: Path, path: str, *options: str, certificate: bool = True) -> tuple[int, str]:
    (tmp_path / "ca.pem").write_bytes(grid.trust.ca_pem())
    (tmp_path / "user.pem").touch(mode=0o600)
    (tmp_path / "user.pem").write_bytes(grid.user.pem())
    shown = ["--cert", str(tmp_path / "user.pem")] if certificate else []
    url = f"https://127.0.0.1:{node.https}{path}"
    command = ["curl", "-sS", "-w", "\n%{http_code}", "--cacert", str(tmp_path / "ca.pem"), *shown, *options, url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=15)
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), body + ran.stderr


def test_curl_with_a_certificate_calls_services(grid: Grid, two: tuple[Node, Node], tmp_path: Path) -> None:
    core, leaf = two
    assert curl(leaf, grid, tmp_path, "/Greeter/greet") == (200, '"hi, alice@demo, from leaf1"\n')
    status, body = curl(core, grid, tmp_path, "/Directory/nodes")
    assert status == 200
    assert [node["node"] for node in json.loads(body)] == ["core1", "leaf1"]
    assert curl(leaf, grid, tmp_path, "/Greeter/count?upto=3") == (200, "0\n1\n2\n")


def test_curl_is_sent_on_to_the_right_node(grid: Grid, two: tuple[Node, Node], tmp_path: Path) -> None:
    core, leaf = two
    assert curl(core, grid, tmp_path, "/Greeter/greet", "-L") == (200, '"hi, alice@demo, from leaf1"\n')


def test_curl_without_a_certificate_is_refused(grid: Grid, two: tuple[Node, Node], tmp_path: Path) -> None:
    core, leaf = two
    for path in ("/Greeter/greet", "/metrics", "/openapi.json", "/"):
        status, body = curl(leaf, grid, tmp_path, path, certificate=False)
        assert status == 401
        assert json.loads(body)["code"] == "dixi.no-certificate"


def test_a_foreign_web_page_cannot_make_a_browser_call(grid: Grid, two: tuple[Node, Node], tmp_path: Path) -> None:
    core, leaf = two
    status, body = curl(core, grid, tmp_path, "/Directory/unregister", "-d", '{"node":"leaf1"}')
    assert (status, json.loads(body)["code"]) == (403, "dixi.not-allowed")
    status, body = curl(leaf, grid, tmp_path, "/Greeter/greet", "-d", "{}")
    assert (status, json.loads(body)["code"]) == (400, "dixi.bad-arguments")
    status, body = curl(leaf, grid, tmp_path, "/Greeter/greet", "-d", "{}", "-H", "Content-Type: application/json")
    assert status == 200


def test_metrics_are_in_the_form_that_prometheus_reads(grid: Grid, two: tuple[Node, Node], tmp_path: Path) -> None:
    core, leaf = two
    curl(leaf, grid, tmp_path, "/Greeter/greet")
    status, page = curl(leaf, grid, tmp_path, "/metrics")
    assert status == 200
    samples = {(s.name, s.labels.get("service"), s.labels.get("method")): s.value
               for family in text_string_to_metric_families(page) for s in family.samples}  # fmt: skip
    assert samples["dixi_calls_total", "Greeter", "greet"] == 1
    assert ("dixi_service_seconds_count", "Greeter", None) in samples
    assert ("dixi_wait_seconds_sum", "Greeter", None) in samples


def test_the_openapi_document_describes_every_method(grid: Grid, two: tuple[Node, Node], tmp_path: Path) -> None:
    core, _ = two
    status, body = curl(core, grid, tmp_path, "/openapi.json")
    document = json.loads(body)
    assert status == 200
    assert document["openapi"].startswith("3.1")
    assert {"/Directory/nodes", "/Directory/ping", "/Forwarder/ask"} <= set(document["paths"])
    assert "NodeRecord" in document["components"]["schemas"]
    assert "get" in document["paths"]["/Directory/nodes"]
    assert "get" not in document["paths"]["/Directory/register"]


def test_a_machine_cannot_register_under_another_name(grid: Grid, two: tuple[Node, Node]) -> None:
    core, _ = two
    config = ClientConfig(directory=ClientDirectory(address=core.address))
    with (
        BlockingBus(config, grid.trust, grid.make_machine("thief")) as bus,
        pytest.raises(Exception, match="cannot register"),
    ):
        DirectoryXati(bus).register(NodeRecord("leaf1", "127.0.0.1:1"))


def test_a_lost_connection_is_an_error_for_calls_that_are_not_idempotent(grid: Grid, two: tuple[Node, Node]) -> None:
    core, leaf = two
    with bus_to(grid, core) as bus:
        ask(bus, "Greeter", "greet")
        threading.Timer(0.3, leaf.kill).start()
        with pytest.raises(ConnectionLost):
            bus.caller("Greeter").call("Greeter.slow", (5.0,), str, deadline=10.0)


def test_only_tls_1_3_is_spoken(grid: Grid, two: tuple[Node, Node]) -> None:
    core, _ = two
    context = client_context(grid.user, grid.trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", core.dixi), timeout=5) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw)


@pytest.mark.timeout(180)
def test_ten_thousand_connections_neither_kill_the_daemon_nor_keep_others_out(grid: Grid) -> None:
    core = Node(grid, "core1", "[services.Directory]\n" + GREETER)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 12_000)), hard))
    idle: list[socket.socket] = []
    try:
        with nodes(core), bus_to(grid, core) as bus:
            for _ in range(10_000):
                idle.append(socket.create_connection(("127.0.0.1", core.dixi), timeout=10))  # noqa: PERF401 -- all are closed below
            # The daemon takes them one by one first: on a busy machine that is more than what a connection is given.
            for _ in eventually(60):
                with contextlib.suppress(NotConnected):
                    assert ask(bus, "Greeter", "greet", deadline=20.0) == "hello, alice@demo, from core1"
                    break
            for connection in idle:
                connection.close()
            idle.clear()
            assert ask(bus, "Greeter", "greet") == "hello, alice@demo, from core1"
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
