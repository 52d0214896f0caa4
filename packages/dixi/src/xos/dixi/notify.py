# SPDX-License-Identifier: BSD-3-Clause
"""Readiness and watchdog messages to the service manager (sd_notify(3), sd_watchdog_enabled(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends datagrams to ``$NOTIFY_SOCKET``; without one, does nothing."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(watchdog) / 2_000_000 if watchdog.isdecimal() and mine else None
        """How often the manager wants a sign of life (half of its limit); None if it does not."""

    def send(self, *lines: str) -> None:
        """Send ``KEY=value`` lines. A manager that is gone is none of our business: the daemon goes on."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            try:
                to.sendto("\n".join(lines).encode(), self._address)
            except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):
                self._address = ""
