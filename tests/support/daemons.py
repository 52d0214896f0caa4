# SPDX-License-Identifier: BSD-3-Clause
"""Real ``dixid`` processes for tests: configured, started, waited for, ended by pid."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.dixi import Grid

READY_SECONDS = 60.0


def free_port() -> int:
    """A loopback port that nobody has now, nor gets by chance before it is used or between two starts of a daemon.

    The kernel gives ports from 32768 on to whoever connects, so it is below; and no other process of tests takes it.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
        return port


def _blocks() -> Iterator[int]:
    """Ports of blocks that are this process's as long as it lives; the name of a socket shows which are taken."""
    first, size, count = 10_000, 64, 340
    tokens = contextlib.ExitStack()
    atexit.register(tokens.close)
    for block in random.Random().sample(range(count), count):
        token = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            token.bind(f"\0xos-test-ports-{block}")
        except OSError as error:
            token.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        tokens.enter_context(token)
        yield from range(first + block * size, first + (block + 1) * size)
    raise AssertionError("all ports of tests are taken")


_ports = _blocks()


FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
"""What makes a process believe in another time."""


def clock(ahead: float) -> dict[str, str]:
    """The environment of a process whose clock is so many seconds ahead; nothing of what only measures time changes."""
    if not ahead:
        return {}
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{ahead:+.0f}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Node:
    """One node's directory and daemon."""

    def __init__(
        self,
        grid: Grid,
        name: str,
        services: str,
        *,
        directory: str | None = None,
        extra: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        self.name, self.host = name, host
        self.ahead = 0.0
        """Seconds by which its clock is."""
        self.root = Path(tempfile.mkdtemp(prefix=f"xos-{name}-"))
        self.dixi, self.https = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        credential = grid.make_machine(name, role="resource" if directory else "core")
        (self.root / "trust").mkdir()
        (self.root / "trust/ca.pem").write_bytes(grid.trust.ca_pem())
        (self.root / "node.pem").write_bytes(credential.certificate_pem())
        (self.root / "node.key").touch(mode=0o600)
        (self.root / "node.key").write_bytes(credential.key_pem(None))
        where = f'[directory]\naddress = "{directory}"\n' if directory else ""
        self.config = self.root / "dixid.toml"
        self.config.write_text(
            f'node = "{name}"\ndata = "data"\n{extra}\n{where}'
            '[tls]\ncertificate = "node.pem"\nkey = "node.key"\ntrust = "trust"\n'
            f'[[listen]]\naddress = "{self.address}"\n'
            f'[[listen]]\ntransport = "https"\naddress = "{self.host}:{self.https}"\n{services}'
        )

    @property
    def address(self) -> str:
        return f"{self.host}:{self.dixi}"

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "xos.dixi.dixid", "--config", str(self.config)]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **clock(self.ahead)}

    def start(self) -> None:
        """Start the daemon and wait until it says that it is ready."""
        ready = self.root / "ready"
        ready.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(ready))
            notify.settimeout(READY_SECONDS)
            with (self.root / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    self.command,
                    env={**self.environment, "NOTIFY_SOCKET": str(ready)},
                    stdout=log,
                    stderr=log,
                )
            try:
                said = notify.recv(4096)
            except TimeoutError as error:
                raise AssertionError(f"{self.name} did not get ready: {self.log()}") from error
        assert said.startswith(b"READY=1"), said

    def kill(self) -> None:
        """``kill -9``, as the power would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def log(self) -> str:
        return (self.root / "log").read_text()

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.root)


@contextlib.contextmanager
def nodes(*made: Node) -> Iterator[tuple[Node, ...]]:
    """Start *made* in turn; kill and remove them at the end."""
    try:
        for node in made:
            node.start()
        yield made
    finally:
        for node in made:
            node.remove()


def eventually(seconds: float = 45.0) -> Iterator[None]:
    """``for _ in eventually(): if …: break`` with a bound; fails when it runs out."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.02)
    raise AssertionError(f"it did not come about within {seconds} s")
