# SPDX-License-Identifier: BSD-3-Clause
"""A real xos-amsd in a directory of a test's own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.node import GIDS, UIDS
from xos.node.client import ask


def until(true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for it, while *process* lives; it takes more than a moment only on a busy machine."""
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.01)


class Amsd:
    """A daemon that serves the VO demo, and its files."""

    def __init__(self, root: Path, trust: Path) -> None:
        self.state, self.socket, self.config = root / "accounts", root / "amsd.sock", root / "node.toml"
        self.homes, self.policy, self.log = root / "home", root / "node-policy.cedar", root / "amsd.log"
        self.homes.mkdir(mode=0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self.config.write_text(
            f'policy = "{self.policy}"\nhome = "{self.homes}"\n[vos.demo]\ntrust = "{trust}"\n'
            f"uids = [{UIDS.first}, {UIDS.last}]\ngids = [{GIDS.first}, {GIDS.last}]\n"
        )

    def start(self) -> None:
        arguments = ["--config", str(self.config), "--state", str(self.state), "--socket", str(self.socket)]
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "xos.node.amsd", *arguments], stderr=log)
        until(self.socket.exists, self.process)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def kill(self) -> None:
        """At the end of a test."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(self, **fields: str) -> dict[str, str]:
        return ask(fields, path=self.socket)
