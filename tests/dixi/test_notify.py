# SPDX-License-Identifier: BSD-3-Clause
"""What the service manager hears of a daemon (sd_notify(3))."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Node
from support.dixi import Grid
from xos.dixi.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(15)
        yield listening


def test_a_daemon_says_that_it_is_ready_then_that_it_lives_then_that_it_stops(
    grid: Grid, manager: socket.socket
) -> None:
    node = Node(grid, "core1", "[services.Directory]\n")
    env = {**node.environment, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    try:
        with subprocess.Popen(node.command, env=env, stderr=subprocess.DEVNULL) as daemon:
            assert manager.recv(4096).startswith(b"READY=1\nSTATUS=hosting Directory")
            assert [manager.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            daemon.send_signal(signal.SIGTERM)
            while (said := manager.recv(4096)) == b"WATCHDOG=1":
                continue
            assert said == b"STOPPING=1"
            assert daemon.wait(10) == 0
    finally:
        node.remove()


@pytest.mark.parametrize(("environ", "seconds"), [
    ({}, None),
    ({"WATCHDOG_USEC": "3000000"}, 1.5),
    ({"WATCHDOG_USEC": "soon"}, None),
    ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
    ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
])  # fmt: skip
def test_a_sign_of_life_is_due_at_half_the_managers_limit(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environ).watchdog_seconds == seconds


def test_a_manager_that_is_gone_does_not_trouble_the_daemon(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.send("READY=1")
    notifier.send("WATCHDOG=1")
