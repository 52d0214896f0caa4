# SPDX-License-Identifier: BSD-3-Clause
"""Whether an address is free to listen on, and if not, who holds it."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from pathlib import Path

from xos.setup.errors import AddressUnusable, PortTaken

_LISTEN = "0A"
_PROC = Path("/proc")


def check_free(host: str, port: int) -> None:
    """Raise `PortTaken` or `AddressUnusable` unless a daemon could listen on TCP *host*:*port* now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen(1)
        except OSError as exc:
            address = f"{host}:{port}"
            if exc.errno == errno.EADDRINUSE:
                raise PortTaken(address=address, holder=holder(host, port)) from exc
            raise AddressUnusable(address=address, detail=exc.strerror or str(exc)) from exc


def holder(host: str, port: int) -> str:
    """A description of the program that listens on *host*:*port* (or on every address at that port)."""
    for inode, uid in _listeners(host, port):
        for pid in _owners(inode):
            words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
            return f"process {pid} ({b' '.join(words).decode(errors='replace').strip()[:120]})"
        return f"a process of user {uid} that we may not look at"
    return "a program that does not show"


def _listeners(host: str, port: int) -> list[tuple[str, int]]:
    """(socket inode, uid) of what listens there, the exact address first."""
    exact = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                address, _, number = fields[1].rpartition(":")
                if fields[3] == _LISTEN and int(number, 16) == port and (address == exact or not address.strip("0")):
                    found.append((address != exact, fields[9], int(fields[7])))
    return [(inode, uid) for _, inode, uid in sorted(found)]


def _owners(inode: str) -> list[int]:
    """Processes that hold the socket."""
    wanted = f"socket:[{inode}]"
    owners = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if any(_link(fd) == wanted for fd in (entry / "fd").iterdir()):
                owners.append(int(entry.name))
    return owners


def _link(fd: Path) -> str:
    """What a descriptor is; empty if it was closed meanwhile."""
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""
