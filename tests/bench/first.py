# SPDX-License-Identifier: BSD-3-Clause
"""First process of an enclosure (run as a script): sets it up, then reaps what is orphaned, until its input ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP, IFF_RUNNING = 0x1, 0x40


def main(host: str, address: str, hosts: Path) -> None:
    """Name the host, bring up the network, say so, reap."""
    socket.sethostname(host)
    hosts.write_text(f"127.0.0.1 localhost\n{address} {host}\n::1 localhost\n")
    _bring_up_loopback(address)
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    threading.Thread(target=_end_with_input, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    while True:
        signal.sigwait({signal.SIGCHLD})
        while _reap():
            pass


def _bring_up_loopback(also: str) -> None:
    """As ``ip link set lo up; ip address add ALSO/32 dev lo``, by the calls of netdevice(7): nothing to install."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))
        for request, value in ((SIOCSIFADDR, also), (SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(control, request, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(value)))


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
