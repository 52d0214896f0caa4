# SPDX-License-Identifier: BSD-3-Clause
"""First process of an enclosure (run as a script): sets it up, then reaps what is orphaned, until its input ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path


def main(host: str, address: str, hosts: Path) -> None:
    """Name the host, bring up the network, say so, reap."""
    socket.sethostname(host)
    hosts.write_text(f"127.0.0.1 localhost\n{address} {host}\n::1 localhost\n")
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{address}/32", "dev", "lo"],
        ["mount", "--bind", str(hosts), "/etc/hosts"],
    ):
        subprocess.run(command, check=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    while True:
        signal.sigwait({signal.SIGCHLD})
        while _reap():
            pass


def _reap() -> bool:
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return pid != 0


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
