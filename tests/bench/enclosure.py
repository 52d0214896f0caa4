# SPDX-License-Identifier: BSD-3-Clause
"""A network, process and host name space of its own for a side's daemons.

Nothing in it meets the rest of the machine, and nothing of it stays behind: when the bench ends, even by
``kill -9``, the kernel ends its first process, with that every process in it, and with those the name spaces.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.cpu import Meter
from bench.model import CannotRun
from bench.worker import Worker

HOST = "xosbench"
"""The host name inside."""
ADDRESS = "198.18.0.1"
"""On the loopback interface inside (RFC 2544, for benchmarks): AI_ADDRCONFIG wants one address besides 127.0.0.1."""

_FIRST = Path(__file__).with_name("first.py")


class Enclosure:
    """The name spaces while they live."""

    def __init__(self, meter: Meter, pid: int, logs: Path) -> None:
        self.meter = meter
        self._pid = pid
        self._logs = logs

    def wrap(self, argv: list[str]) -> list[str]:
        """The command that runs *argv* inside, its CPU time counted."""
        # Root and working directory of the first process too: the bench itself may run in a chroot.
        enter = ["nsenter", "--target", str(self._pid), "--net", "--mount", "--uts", "--ipc", "--pid", "--root", "--wd"]
        return self.meter.wrap([*enter, "--", *argv])

    def worker(self, name: str, argv: list[str], *, env: Mapping[str, str] | None = None) -> Worker:
        """A worker inside."""
        return Worker(name, self.wrap(argv), log=self._logs / f"{name}.log", env=env)


@contextlib.contextmanager
def enclosure(name: str, logs: Path) -> Iterator[Enclosure]:
    """Make the name spaces; everything in them is ended when the context is left. Needs root: else `CannotRun`."""
    if os.geteuid() != 0:
        raise CannotRun("needs root for name spaces of its own")
    for program in ("unshare", "nsenter", "setpriv", "mount"):
        if shutil.which(program) is None:
            raise CannotRun(f"{program} is not installed")
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid"]
    unshare += ["--fork", "--kill-child=KILL", "--mount-proc"]
    with (
        Meter(name) as meter,
        Worker(
            f"{name}-first",
            meter.wrap([*unshare, sys.executable, str(_FIRST), HOST, ADDRESS, str(logs / "hosts")]),
            log=logs / "first.log",
        ) as first,
    ):
        first.hear(timeout=20)
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        yield Enclosure(meter, int(children[0]), logs)
